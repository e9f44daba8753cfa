// A network in memory whose every accident a seed decides: the third backend of gw_io.h, and the ends of its
// connections that clients hold. Nothing waits: time is a number, and a seed replays to the byte.
//
// What it does that a kernel seldom does: short receives and sends, resets, sends and closes that complete late,
// receive buffers that run dry, turns that bring one event, completions in any order between sockets, numbers given
// out again at once, accepts that fail. What it checks of the core: that each request is allowed when it comes, that
// the bytes of a send stay as they were until it ends, that a receive buffer is given back once and by its holder.
//
// With rings (sim_offer_rings) it is also what the reactor's everyday ways know of io_uring: short sends that say nothing
// when they are done, and are told in part or not at all when they are not; requests submitted before their turn; a ring
// that is full, or that the kernel takes a part of; completions that come with a later turn.
//
// Not here: what clients say (sim_client.h), what is true of a whole run (simulate.c). One thread.
#ifndef SIM_H
#define SIM_H

#include "gw_uring_front.h"
#include "test.h"

enum { SIM_REQUESTS = 4, SIM_COMPLETIONS = 64 };
enum { SIM_SOCKETS_MAX = 8, SIM_BUFFERS_MAX = 16, SIM_WIRES = 16, SIM_PIPE_BYTES = 16384 };
#define SIM_NONE UINT32_MAX

struct sim_pipe {
    uint8_t bytes[SIM_PIPE_BYTES];
    uint32_t start, end;
};

// A connection. The client's end lives from sim_connect to sim_release, the server's until its close.
struct sim_wire {
    struct sim_pipe to_server, to_client;
    uint32_t window;             // bytes that wait for the client at most
    uint32_t peer;               // whose it is
    uint8_t used;
    uint8_t accepted;
    uint8_t client_ended;        // will write no more
    uint8_t client_gone;         // released: what the server sends is lost
    uint8_t reset;               // by either side: each finds it out when it next looks
    uint8_t server_ended;        // shut down or closed: the client reads the rest and then the end
    uint8_t server_gone;
};

struct sim_socket {
    struct iovec iov[GW_IO_IOV_MAX];
    uint64_t send_hash;
    uint32_t iov_count;
    uint32_t wire;
    uint32_t late_buffer;        // of a socket that closes: the receive that was under way holds it
    uint8_t used, wanted, in_flight, starved, ended, sending, closing, shut;
};

struct sim_io {
    struct gw_io io;
    uint64_t random;
    uint64_t now_ms;
    uint32_t sockets_max;
    uint32_t accept_fails_in_1000, send_fails_in_1000;
    uint32_t busy_percent;       // of what could complete in a turn, how much does
    uint8_t listening, resting, woken;
    uint8_t buffer_lent[SIM_BUFFERS_MAX];
    struct sim_socket sockets[SIM_SOCKETS_MAX];
    struct sim_wire wires[SIM_WIRES];
    uint64_t closed_while_sending;   // sockets
    struct gw_uring_front front;
    struct io_uring_sqe requests[SIM_REQUESTS];
    struct io_uring_cqe completions[SIM_COMPLETIONS];
    struct gw_io_event rare[SIM_COMPLETIONS];        // of a completion that is none of io_uring's
    unsigned requests_taken, requests_tail, completions_head, completions_tail;
    uint64_t short_sends, short_sends_refused, recalled;
    struct gw_io_stats stats;
};

// The io lives in the caller's struct; gw_io_destroy frees only what it points to.
void sim_io_init(struct sim_io *sim, const struct gw_io_config *config, uint64_t seed);
void sim_offer_rings(struct sim_io *sim);
uint32_t sim_buffers_lent(const struct sim_io *sim);

// The clients' end. connect: SIM_NONE when the backlog is full.
uint32_t sim_connect(struct sim_io *sim, uint32_t window, uint32_t peer);
uint32_t sim_client_write(struct sim_io *sim, uint32_t wire, const uint8_t *bytes, uint32_t length);
// Bytes, or 0 for none now, or -1 when there will be no more.
int32_t sim_client_read(struct sim_io *sim, uint32_t wire, uint8_t *bytes, uint32_t room);
void sim_client_end(struct sim_io *sim, uint32_t wire);
void sim_client_reset(struct sim_io *sim, uint32_t wire);
void sim_release(struct sim_io *sim, uint32_t wire);

// A number in [0, bound).
static inline uint32_t sim_below(uint64_t *random, uint32_t bound) { return (uint32_t)(test_random(random) % bound); }

#endif
