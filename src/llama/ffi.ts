/** koffi, configured before any library is loaded: after that it takes no configuration. */
import koffi from 'koffi'

/** C++ code runs on these stacks, above all the recursive std::regex of tokenizers. */
const stackBytes = 8 * 1024 * 1024

koffi.config({ sync_stack_size: stackBytes, async_stack_size: stackBytes })

export default koffi
