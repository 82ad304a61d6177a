import { hashText, seededRandom } from './random.js'

const VOCABULARY =
  `time year people way day man thing woman life child world school state family student group country
problem hand part place case week company system program question work government number night point home water room
mother area money story fact month lot right study book eye job word business issue side kind head house service friend
father power hour game line end member law car city community name president team minute idea body information back
parent face level office door health person art war history party result change morning reason research girl guy moment
air teacher force education foot boy age policy music market sense nation plan college interest death experience effect
use class control care field development role effort rate heart drug show leader light voice wife police mind price
report decision son view relationship town road arm difference value building action season society tax director
position player record paper space ground form event official matter center couple site project activity star table need
court oil situation cost industry figure street image phone data picture practice piece land product doctor wall patient
worker news test movie north love support technology step baby computer type attention film tree source hair look window
culture chance brother energy period course summer plant opportunity term letter condition choice rule south husband
floor campaign material population call economy hospital church risk fire future bank`
    .split(/\s+/)
    .filter(word => word !== '')

/**
 * Words that no server has seen in an earlier run: they follow from the salt and differ from the first word on. The same
 * salt and key give the same text.
 */
export class Prompts {
  constructor(readonly salt: string) {}

  /** `count` words for `key`. A longer text for the same key begins with the shorter one. */
  text(key: string, count: number): string {
    const next = seededRandom(hashText(`${this.salt}/${key}`))
    const words: string[] = []
    for (let i = 0; i < count; i++) words.push(VOCABULARY[Math.floor(next() * VOCABULARY.length)]!)
    return words.join(' ')
  }

  /** Other words for the same keys. */
  with(run: string): Prompts {
    return new Prompts(`${this.salt}/${run}`)
  }
}
