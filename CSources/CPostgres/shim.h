// All that Sources/Postgres takes from C: libpq, and the two Linux headers that Swift's Glibc module leaves out.
#include <libpq-fe.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
