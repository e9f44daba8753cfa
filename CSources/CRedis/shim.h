// All that Sources/Redis takes from C: hiredis.
#include <hiredis/hiredis.h>
