/** Heavy tests run reduced counts by default and full ones with `npm run test:long`; both say what they ran. */
export const long = process.env.OCTAVO_TEST_LONG === '1'

export function count(short: number, full: number): number {
  return long ? full : short
}
