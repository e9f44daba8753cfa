// Many clients that do anything at any moment, under bounds so tight that all of them are met: whatever happens,
// an id's events come in order, echoes come back as they were sent, and in the end nothing is left.
#include "gateway_client.h"

enum { CLIENTS = 24, STEPS = 30000, SLOTS = 16 };

struct client {
    int fd;                // -1: none
    int upgraded;
    int polite;            // has only sent what is allowed, so its echoes must be right
    uint64_t sent, read;   // messages
    uint8_t unread[4096];
    size_t unread_bytes;
};

struct life {
    gw_conn_id open[SLOTS];
    uint64_t opened, closed, messages, writable;
    int noisy;             // sends unasked, too
};

static struct gw_config config_tight(void) {
    struct gw_config config;
    gw_config_init(&config);
    config.connections_max = SLOTS;
    config.message_bytes_max = 4000;
    config.fragments_max = 8;
    config.outbound_bytes_max = 4096;
    config.pool_bytes_max = 128 << 10;
    config.receive_buffers = 4;
    config.receive_buffer_bytes = 256;
    config.batch_events_max = 5;
    config.handshake_ms = test_over_tls() ? 1000 : 100;   // TLS takes many a turn first, and a busy machine longer
    config.idle_ms = 100;
    config.write_stall_ms = 100;
    config.close_ms = 50;
    return config;
}

// Echoes with everything the header offers, and holds every event against what was told before.
static void chaos_turn(struct world *w, struct life *life, uint64_t *seed) {
    const struct gw_event *events;
    const int count = gw_reactor_turn(w->reactor, 0, &events);
    CHECK(count >= 0 && count <= 5);
    struct gw_payload *leased = NULL;
    for (int i = 0; i < count; i++) {
        const struct gw_event *event = &events[i];
        gw_conn_id *open = &life->open[(uint32_t)event->conn];
        CHECK((uint32_t)event->conn < SLOTS);
        CHECK(event->kind == GW_EVENT_OPENED ? *open == 0 : *open == event->conn);
        switch (event->kind) {
        case GW_EVENT_OPENED:
            *open = event->conn;
            life->opened++;
            break;
        case GW_EVENT_CLOSED:
            CHECK(gw_conn_send(w->reactor, event->conn, GW_TEXT, NULL, 0) == GW_ENOCONN);
            *open = 0;
            life->closed++;
            break;
        case GW_EVENT_WRITABLE:
            life->writable++;
            break;
        case GW_EVENT_MESSAGE: {
            life->messages++;
            int error;
            if (test_random(seed) % 4 == 0) {
                struct gw_frame *frame;
                error = gw_frame_create(w->reactor, (enum gw_opcode)event->opcode, event->data, event->length, &frame);
                if (error == 0) {
                    error = gw_conn_send_frame(w->reactor, event->conn, frame);
                    gw_frame_release(w->reactor, frame);
                }
            } else {
                error = gw_conn_send(w->reactor, event->conn, (enum gw_opcode)event->opcode, event->data,
                                     event->length);
            }
            // ENOCONN: its end is told later in this very batch. Who only echoes never meets EFULL: that is what
            // waiting is for.
            CHECK(error == 0 || error == GW_ENOBUFS || error == GW_ECLOSING || error == GW_ENOCONN
                  || (error == GW_EFULL && life->noisy));
            if (error == GW_ENOBUFS || error == GW_EFULL || test_random(seed) % 200 == 0) {
                CHECK(gw_conn_close(w->reactor, event->conn, 4000, "lost") == (error == GW_ENOCONN ? error : 0));
            }
            if (leased == NULL && test_random(seed) % 8 == 0) {
                leased = gw_payload_acquire(w->reactor, event);
            }
            break;
        }
        }
    }
    if (leased != NULL) {
        gw_payload_release(w->reactor, leased);
    }
}

static void client_drop(struct client *client, uint64_t *seed) {
    if (test_random(seed) % 2) {
        const struct linger hard = { .l_onoff = 1 };
        CHECK(setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard) == 0);
    }
    close(client->fd);
    *client = (struct client){ .fd = -1 };
}

static void chaos_noise(struct world *w, const struct life *life, uint64_t *seed) {
    const gw_conn_id id = life->open[test_random(seed) % SLOTS];
    const uint64_t messages = test_random(seed) % 20;
    for (uint64_t i = 0; i < messages; i++) {
        const uint8_t noise[500] = { 'n' };
        const int error = gw_conn_send(w->reactor, id, GW_TEXT, noise, test_random(seed) % sizeof noise);
        CHECK(error == 0 || error == GW_ENOCONN || error == GW_EFULL || error == GW_ENOBUFS || error == GW_ECLOSING);
    }
}

// A payload that says which message it is: every byte is its number.
static size_t client_payload(uint64_t number, uint8_t *payload) {
    const size_t length = (size_t)(number * 37 % 700);
    memset(payload, (int)(number & 0x7f), length);
    return length;
}

static void client_write(struct client *client, uint64_t *seed) {
    uint8_t bytes[4096], payload[800];
    size_t length = 0;
    const uint64_t what = test_random(seed) % 40;
    if (!client->upgraded) {
        memcpy(bytes, UPGRADE_REQUEST, sizeof UPGRADE_REQUEST);
        length = sizeof UPGRADE_REQUEST - 1;
        if (what == 0) {
            length = test_random(seed) % length;
            client->polite = 0;
        }
        client->upgraded = 1;
    } else if (what == 0) {
        for (length = 0; length < 64; length++) {
            bytes[length] = (uint8_t)test_random(seed);
        }
        client->polite = 0;
    } else if (what == 1) {
        length = frame_write(bytes, 0x88, "\x03\xe8", 2);
        client->polite = 0;
    } else if (what < 8) {
        length = frame_write(bytes, 0x89, "ping", test_random(seed) % 5);
    } else {
        const size_t size = client_payload(client->sent++, payload), cut = size == 0 ? 0 : test_random(seed) % size;
        if (what < 20) {
            length = frame_write(bytes, 0x02, payload, cut);
            length += frame_write(bytes + length, 0x80, payload + cut, size - cut);
        } else {
            length = frame_write(bytes, 0x82, payload, size);
        }
    }
    // A part of a frame is as good as garbage: what follows is out of step.
    const ssize_t sent = send(client->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent != (ssize_t)length) {
        client->polite = 0;
    }
}

// Takes whole frames off what has been read, and holds echoes against what was sent.
static void client_check(struct client *client) {
    size_t at = 0;
    while (client->unread_bytes - at >= 2) {
        const uint8_t *frame = client->unread + at;
        const size_t extended = frame[1] == 126 ? 2 : 0;
        if (client->unread_bytes - at < 2 + extended) {
            break;
        }
        const size_t length = extended ? (size_t)(frame[2] << 8 | frame[3]) : frame[1];
        if (client->unread_bytes - at < 2 + extended + length) {
            break;
        }
        if (frame[0] == 0x82) {
            uint8_t expected[800];
            CHECK(length == client_payload(client->read, expected));
            CHECK(memcmp(frame + 2 + extended, expected, length) == 0);
            client->read++;
            CHECK(client->read <= client->sent);
        } else {
            CHECK(frame[0] == 0x8a || frame[0] == 0x88 || frame[0] == 0x81);
        }
        at += 2 + extended + length;
    }
    memmove(client->unread, client->unread + at, client->unread_bytes - at);
    client->unread_bytes -= at;
}

static void client_read(struct client *client, uint64_t *seed) {
    const ssize_t some = recv(client->fd, client->unread + client->unread_bytes,
                              sizeof client->unread - client->unread_bytes, MSG_DONTWAIT);
    if (some == 0 || (some < 0 && errno != EAGAIN)) {
        client_drop(client, seed);
        return;
    }
    if (some < 0) {
        return;
    }
    client->unread_bytes += (size_t)some;
    const uint8_t *head_end = client->upgraded == 1 ? memmem(client->unread, client->unread_bytes, "\r\n\r\n", 4)
                                                    : NULL;
    if (head_end != NULL) {
        client->polite &= memcmp(client->unread, "HTTP/1.1 101", 12) == 0;
        client->upgraded = 2;
        const size_t head = (size_t)(head_end - client->unread) + 4;
        memmove(client->unread, client->unread + head, client->unread_bytes - head);
        client->unread_bytes -= head;
    }
    if (client->upgraded == 2 && client->polite) {
        client_check(client);
    } else if (client->unread_bytes == sizeof client->unread || client->upgraded == 2) {
        client->unread_bytes = 0;
    }
}

// Over TLS, and goes on with it. A refusal is seen with the next send or receive.
static int client_still_shakes_hands(int fd) {
    if (!test_over_tls() || SSL_is_init_finished(tls_client_of(fd))) {
        return 0;
    }
    SSL *ssl = tls_client_of(fd);
    const int result = SSL_do_handshake(ssl), error = SSL_get_error(ssl, result);
    ERR_clear_error();
    return result != 1 && (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE);
}

static void client_act(struct world *w, struct client *client, uint64_t *seed) {
    const uint64_t what = test_random(seed) % 100;
    if (client->fd < 0) {
        *client = (struct client){ .fd = client_connect_sized(w, what % 2 ? 2048 : 0), .polite = 1 };
    } else if (what < 99 && client_still_shakes_hands(client->fd)) {
        return;
    } else if (what < 50) {
        client_write(client, seed);
    } else if (what < 99) {
        client_read(client, seed);
    } else {
        client_drop(client, seed);
    }
}

static void chaos__leaves_nothing_behind(void) {
    uint64_t messages = 0, writable = 0, starved = 0;
    for (uint64_t seed_of_run = 1; seed_of_run <= 4; seed_of_run++) {
        const struct gw_config config = config_tight();
        uint64_t seed = seed_of_run * 0x9e3779b97f4a7c15u;
        struct world w;
        struct life life = { .noisy = seed_of_run % 2 == 0 };
        struct client *clients = calloc(CLIENTS, sizeof *clients);
        world_open(&w, &config);
        for (int i = 0; i < CLIENTS; i++) {
            clients[i].fd = -1;
        }
        for (int step = 0; step < STEPS; step++) {
            client_act(&w, &clients[test_random(&seed) % CLIENTS], &seed);
            if (test_random(&seed) % 3 == 0) {
                chaos_turn(&w, &life, &seed);
                if (life.noisy && test_random(&seed) % 16 == 0) {
                    chaos_noise(&w, &life, &seed);
                }
            }
        }
        for (int i = 0; i < CLIENTS; i++) {
            if (clients[i].fd >= 0) {
                close(clients[i].fd);
            }
        }
        const uint64_t end = world_now_ms() + WORLD_PATIENCE_MS;
        struct gw_stats stats = world_stats(&w);
        for (uint64_t quiet = 0; quiet < 20; quiet = stats.connections == 0 ? quiet + 1 : 0) {
            CHECK(world_now_ms() < end);
            usleep(1000);
            chaos_turn(&w, &life, &seed);
            stats = world_stats(&w);
        }
        CHECK(life.opened == life.closed && life.opened > 100 && stats.accepted == stats.closed);
        CHECK(stats.accepted == life.opened + stats.handshakes_failed);
        CHECK(stats.pool_bytes == 0 && stats.messages_in == life.messages);
        messages += life.messages;
        writable += life.writable;
        starved += stats.receive_starved;
        free(clients);
        world_close(&w);
    }
    CHECK_ROW("the bounds were met", messages > 5000 && writable > 10 && starved > 100);
}

int main(void) {
    RUN(chaos__leaves_nothing_behind);
    return 0;
}
