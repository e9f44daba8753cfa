// See the header.
#define _GNU_SOURCE   // memmem
#include "sim_client.h"

#include <stddef.h>

#include <zlib.h>

uint32_t sim_message(uint32_t client, uint32_t number, uint8_t *bytes) {
    uint64_t random = ((uint64_t)client << 32 | number) * 0x9e3779b97f4a7c15u + 1;
    const uint32_t class = sim_below(&random, 20);
    const uint32_t length = sim_below(&random, class == 0 ? SIM_MESSAGE_BYTES_MAX + 1 : class < 4 ? 600 : 100);
    uint64_t letters = 0;
    for (uint32_t at = 0; at < length; at++) {
        letters = at % 16 == 0 ? test_random(&random) : letters >> 4;
        bytes[at] = (uint8_t)('a' + (letters & 15));
    }
    return length;
}

// Compression without memory of earlier messages, RFC 7692 section 7.2.

static uint32_t client_deflate(const uint8_t *bytes, uint32_t length, uint8_t *out, uint32_t room) {
    z_stream z = { .next_in = (Bytef *)(uintptr_t)bytes, .avail_in = length, .next_out = out, .avail_out = room };
    CHECK(deflateInit2(&z, 1, Z_DEFLATED, -9, 1, Z_DEFAULT_STRATEGY) == Z_OK);
    CHECK(deflate(&z, Z_SYNC_FLUSH) == Z_OK && z.avail_out > 0);
    deflateEnd(&z);
    return room - z.avail_out - 4;   // without the tail
}

static uint32_t client_inflate(const uint8_t *bytes, uint32_t length, uint8_t *out, uint32_t room) {
    static const uint8_t tail[] = { 0, 0, 0xff, 0xff };
    z_stream z = { .next_in = (Bytef *)(uintptr_t)bytes, .avail_in = length, .next_out = out, .avail_out = room };
    CHECK(inflateInit2(&z, -15) == Z_OK);
    CHECK(inflate(&z, Z_SYNC_FLUSH) == Z_OK && z.avail_in == 0);
    z.next_in = (Bytef *)(uintptr_t)tail;
    z.avail_in = sizeof tail;
    const int status = inflate(&z, Z_SYNC_FLUSH);
    CHECK((status == Z_OK || status == Z_BUF_ERROR) && z.avail_in == 0 && z.avail_out > 0);
    inflateEnd(&z);
    return room - z.avail_out;
}

// Speaking.

static void client_put(struct sim_client *client, const void *bytes, uint32_t length) {
    CHECK(client->out_end + length <= SIM_OUT_BYTES);
    memcpy(client->out + client->out_end, bytes, length);
    client->out_end += length;
}

static void client_put_frame(struct sim_client *client, uint8_t first, const uint8_t *payload, uint32_t length,
                             uint64_t *random) {
    uint8_t head[8] = { first, (uint8_t)(0x80 | (length < 126 ? length : 126)) };
    uint32_t at = 2;
    if (length >= 126) {
        head[at++] = (uint8_t)(length >> 8);
        head[at++] = (uint8_t)length;
    }
    const uint32_t mask = (uint32_t)test_random(random);
    memcpy(head + at, &mask, 4);
    client_put(client, head, at + 4);
    CHECK(client->out_end + length <= SIM_OUT_BYTES);
    for (uint32_t i = 0; i < length; i++) {
        client->out[client->out_end++] = payload[i] ^ head[at + i % 4];
    }
}

static void client_put_ping(struct sim_client *client, uint64_t *random) {
    uint8_t payload[125] = { 0 };
    client->pings++;
    memcpy(payload, &client->pings, 4);
    client_put_frame(client, 0x89, payload, 4 + sim_below(random, 122), random);
}

static void client_put_message(struct sim_client *client, uint64_t *random) {
    uint8_t payload[SIM_MESSAGE_BYTES_MAX], deflated[SIM_MESSAGE_BYTES_MAX + 64];
    const uint32_t number = client->record->sent++;
    uint32_t length = sim_message(client->number, number, payload);
    uint32_t pieces = sim_below(random, 3) == 0 ? 1 + sim_below(random, 4) : 1, at = 0;
    uint8_t opcode = sim_message_opcode(number);
    if (client->deflates && sim_below(random, 2)) {
        length = client_deflate(payload, length, deflated, sizeof deflated);
        CHECK(length <= sizeof payload);
        memcpy(payload, deflated, length);
        opcode |= 0x40;
    }
    for (; pieces > 0; pieces--, opcode = 0) {
        const uint32_t piece = pieces == 1 ? length - at : sim_below(random, length - at + 1);
        client_put_frame(client, (uint8_t)(opcode | (pieces == 1 ? 0x80 : 0)), payload + at, piece, random);
        at += piece;
        if (pieces > 1 && sim_below(random, 4) == 0) {
            client_put_ping(client, random);
        }
    }
}

static void client_put_request(struct sim_client *client, uint64_t *random) {
    char request[512];
    const int bad = !client->calm && sim_below(random, 16) == 0;
    const int length = snprintf(request, sizeof request,
                                "GET %s HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                                "Authorization: %u\r\n%s\r\n", bad ? "/elsewhere" : "/ws", client->number,
                                client->deflates ? "Sec-WebSocket-Extensions: permessage-deflate; "
                                    "server_no_context_takeover; client_no_context_takeover\r\n" : "");
    client_put(client, request, (uint32_t)length);
    client->upgraded = 1;
    client->record->clean &= !bad;
}

static void client_put_garbage(struct sim_client *client, struct sim_io *sim, uint64_t *random) {
    uint8_t bytes[64];
    for (uint32_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)test_random(random);
    }
    const uint32_t length = 1 + sim_below(random, sizeof bytes);
    if (client->tls != NULL && sim_below(random, 2)) {
        (void)sim_client_write(sim, client->wire, bytes, length);   // among the records
    } else {
        client_put(client, bytes, length);
    }
    client->record->clean = 0;
    client->garbled = 1;
}

void sim_client_say_goodbye(struct sim_client *client) {
    uint64_t random = 1;
    if (!client->closing && client->upgraded == 2) {
        client_put_frame(client, 0x88, (const uint8_t *)"\x03\xe8", 2, &random);
        client->closing = 1;
    }
}

static void client_say(struct sim_client *client, struct sim_io *sim, uint64_t *random) {
    const uint32_t what = sim_below(random, 100);
    client->out_start = client->out_end = 0;
    if (client->upgraded == 0) {
        client_put_request(client, random);
        // Impatient, as RFC 6455 does not allow, but the server cannot tell: frames behind the request.
        if (sim_below(random, 4) == 0) {
            client_put_message(client, random);
        }
    } else if (what < 70) {
        client_put_message(client, random);
    } else if (what < 90) {
        client_put_ping(client, random);
    } else if (!client->calm && what < 92) {
        client_put_garbage(client, sim, random);
    } else if (what < 94) {
        sim_client_say_goodbye(client);
    }
}

static void client_write(struct sim_client *client, struct sim_io *sim, uint64_t *random) {
    const uint32_t left = client->out_end - client->out_start;
    if (client->tls != NULL) {
        const uint8_t *bytes = client->out + client->out_start;
        client->out_start += sim_tls_write(client->tls, sim, client->wire, bytes, left, random);
        return;
    }
    const uint32_t most = sim_below(random, 2) ? left : 1 + sim_below(random, left);
    client->out_start += sim_client_write(sim, client->wire, client->out + client->out_start, most);
}

// Hearing.

static void client_hear_message(struct sim_client *client, uint8_t opcode, const uint8_t *payload, uint32_t length) {
    struct sim_record *record = client->record;
    uint32_t number = 0;
    if (length >= 9 && payload[0] == '#') {
        CHECK(sscanf((const char *)payload + 1, "%8x", &number) == 1 && number == record->push_read);
        record->push_read++;
        CHECK(record->push_read <= record->pushed);
    } else if (length >= 9 && payload[0] == '@') {
        CHECK(sscanf((const char *)payload + 1, "%8x", &number) == 1 && number > client->announce_last);
        client->announce_last = number;
        record->announce_read++;
        CHECK(record->announce_read <= record->announced);
    } else {
        uint8_t expected[SIM_MESSAGE_BYTES_MAX];
        CHECK(record->read < record->echoed);
        CHECK(length == sim_message(client->number, record->read, expected));
        CHECK(memcmp(payload, expected, length) == 0 && opcode == sim_message_opcode(record->read));
        record->read++;
    }
}

static void client_hear_frame(struct sim_client *client, uint8_t first, const uint8_t *payload, uint32_t length) {
    uint32_t ping;
    if (client->deflates && (first == 0xc1 || first == 0xc2)) {
        uint8_t inflated[SIM_MESSAGE_BYTES_MAX + 1];
        const uint32_t inflated_length = client_inflate(payload, length, inflated, sizeof inflated);
        client->record->inflated++;
        client_hear_message(client, first & 15, inflated, inflated_length);
        return;
    }
    switch (first) {
    case 0x81:
    case 0x82:
        client_hear_message(client, first & 15, payload, length);
        break;
    case 0x8a:
        CHECK(length >= 4 && length <= 125);
        memcpy(&ping, payload, 4);
        CHECK(ping > client->pong_read && ping <= client->pings);
        client->pong_read = ping;
        break;
    case 0x88:
        CHECK(length >= 2);
        client->record->parted = client->closing && payload[0] == 0x03 && payload[1] == 0xe8;
        client->record->clean &= client->record->parted;
        client->garbled = 1;   // nothing may follow, and nothing that follows is looked at but for its presence
        break;
    default:
        CHECK(!"a frame the server may send");
    }
}

// Takes the answer to the request, then whole frames, off what has been read.
static void client_hear(struct sim_client *client) {
    uint32_t at = 0;
    if (client->upgraded == 1) {
        const uint8_t *end = memmem(client->in, client->in_end, "\r\n\r\n", 4);
        if (end == NULL) {
            return;
        }
        at = (uint32_t)(end - client->in) + 4;
        client->upgraded = 2;
        if (memcmp(client->in, "HTTP/1.1 101", 12) != 0) {
            CHECK(!client->calm);
            client->record->clean = 0;
            client->garbled = 1;
        }
    }
    while (!client->garbled && client->in_end - at >= 2) {
        const uint8_t *frame = client->in + at;
        const uint32_t head = frame[1] == 126 ? 4 : 2;
        CHECK(frame[1] <= 126);
        if (client->in_end - at < head) {
            break;
        }
        const uint32_t length = head == 4 ? (uint32_t)(frame[2] << 8 | frame[3]) : frame[1];
        if (client->in_end - at < head + length) {
            break;
        }
        client_hear_frame(client, frame[0], frame + head, length);
        at += head + length;
        // The server's last words are a close frame.
        CHECK(frame[0] != 0x88 || at == client->in_end);
    }
    if (client->garbled) {
        at = client->in_end;
    }
    memmove(client->in, client->in + at, client->in_end - at);
    client->in_end -= at;
}

void sim_client_leave(struct sim_client *client, struct sim_io *sim) {
    sim_tls_free(client->tls);
    client->tls = NULL;
    sim_release(sim, client->wire);
    client->wire = SIM_NONE;
}

void sim_client_listen(struct sim_client *client, struct sim_io *sim, uint32_t most) {
    const uint32_t left = SIM_IN_BYTES - client->in_end, room = most < left ? most : left;
    uint8_t *to = client->in + client->in_end;
    const int32_t some = client->tls != NULL ? sim_tls_read(client->tls, sim, client->wire, to, room)
                                             : sim_client_read(sim, client->wire, to, room);
    if (some < 0) {
        // Unless both have said goodbye, the server has cut it short.
        client->record->clean &= client->record->parted;
        sim_client_leave(client, sim);
        return;
    }
    CHECK(client->record->parted == 0 || some == 0);
    client->in_end += (uint32_t)some;
    client_hear(client);
}

// Life.

void sim_client_start(struct sim_client *client, struct sim_io *sim, struct sim_record *record, uint32_t number,
                      uint64_t *random) {
    const uint8_t calm = client->calm, deflates = client->deflates, secure = client->secure;
    memset(client, 0, offsetof(struct sim_client, out));
    client->calm = calm;
    client->deflates = deflates;
    client->secure = secure;
    client->number = number;
    client->record = record;
    record->clean = 1;
    client->wire = sim_connect(sim, 64 + sim_below(random, sim_below(random, 2) ? 8000 : 200), 1 + sim_below(random, SIM_PEERS));
    client->tls = secure && client->wire != SIM_NONE ? sim_tls_create(random) : NULL;
}

// Its end, in one of the ways a peer has.
static void client_break_off(struct sim_client *client, struct sim_io *sim, uint64_t *random) {
    client->record->clean = 0;
    switch (sim_below(random, 3)) {
    case 0:
        sim_client_reset(sim, client->wire);
        break;
    case 1:
        if (client->tls != NULL && sim_below(random, 2)) {
            sim_tls_end(client->tls, sim, client->wire);
        }
        sim_client_end(sim, client->wire);
        client->out_start = client->out_end = 0;
        return;   // it goes on reading
    default:
        break;
    }
    sim_client_leave(client, sim);
}

void sim_client_act(struct sim_client *client, struct sim_io *sim, int talk, uint64_t *random) {
    const int ended = sim->wires[client->wire].client_ended;
    const uint32_t what = sim_below(random, 100);
    if (what < 50 && !ended) {
        if (sim_client_has_written(client) && talk && !client->closing && !client->garbled) {
            client_say(client, sim, random);
        }
        if (!sim_client_has_written(client)) {
            client_write(client, sim, random);
        }
    } else if (what < 98 || client->calm || !talk) {
        sim_client_listen(client, sim, 1 + sim_below(random, SIM_IN_BYTES));
    } else if (!ended) {
        client_break_off(client, sim, random);
    }
}
