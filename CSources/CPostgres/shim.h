// All that Sources/Postgres takes from C: libpq.
#include <libpq-fe.h>
