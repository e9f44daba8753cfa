// A simulated client: it shakes hands, says things that a seed picks, and holds every frame it reads against what
// the server may send. It shares no code with the codec; what is compressed it inflates with zlib itself.
//
// A message's bytes follow from its client and its number, so that both ends know what must come next. The server's
// own frames begin with '#' and their number on this connection, or with '@' and a number that only grows.
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "sim_tls.h"

enum { SIM_MESSAGE_BYTES_MAX = 2000, SIM_OUT_BYTES = 4096, SIM_IN_BYTES = 8192, SIM_PEERS = 2 };

// Of one connection, for the whole run. What the server told of it stands beside what the client did.
struct sim_record {
    uint32_t sent, read;             // messages said, echoes read
    uint32_t seen, echoed;           // by the server: messages seen, echoes queued
    uint32_t pushed, push_read;      // '#' frames queued and read
    uint32_t announced, announce_read;   // '@' frames queued and read
    uint32_t inflated;               // messages read that were compressed
    uint8_t opened, closed;
    uint8_t clean;                   // so far nothing but what is allowed, and no reset: what was queued must come
    uint8_t parted;                  // closed by the handshake that the client began, and answered
};

struct sim_client {
    struct sim_record *record;
    uint32_t number;                 // of the record
    uint32_t wire;                   // SIM_NONE: not connected
    uint32_t pings;                  // sent; a pong carries its ping's number
    uint32_t pong_read;
    uint32_t announce_last;
    uint32_t out_start, out_end, in_end;
    uint8_t upgraded;                // 1: asked, 2: answered
    uint8_t deflates;                // offers compression, and uses it
    uint8_t secure;                  // speaks TLS
    uint8_t calm;                    // never anything but messages, pings and an orderly end
    uint8_t closing;                 // has sent a close frame
    uint8_t garbled;                 // its input or the server's answer to it means nothing any more
    struct ssl_st *tls;              // while it is connected, if it is secure
    uint8_t out[SIM_OUT_BYTES], in[SIM_IN_BYTES];
};

uint32_t sim_message(uint32_t client, uint32_t number, uint8_t *bytes);
static inline uint8_t sim_message_opcode(uint32_t number) { return number % 3 == 0 ? 1 : 2; }

void sim_client_start(struct sim_client *client, struct sim_io *sim, struct sim_record *record, uint32_t number,
                      uint64_t *random);
// One thing it may do now: write, read, or leave. talk: it may say something new.
void sim_client_act(struct sim_client *client, struct sim_io *sim, int talk, uint64_t *random);
// Reads what is there.
void sim_client_listen(struct sim_client *client, struct sim_io *sim, uint32_t most);
void sim_client_leave(struct sim_client *client, struct sim_io *sim);
void sim_client_say_goodbye(struct sim_client *client);
static inline int sim_client_has_written(const struct sim_client *client) {
    return client->out_start == client->out_end && (client->tls == NULL || sim_tls_has_written(client->tls));
}

#endif
