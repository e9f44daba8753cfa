// Load for the HTTP API of `ringway serve`: reads, writes and log-ins. One thread, epoll. Prints a line of JSON for each
// kind of request of a phase. Exit status: 0 when every answer was the right one; time is never a reason.
//
//   services --port N --users U [--phases reads,writes,logins] [--server-pid P] [--connections 64] [--readers 32]
//            [--friends 200] [--seconds 5] [--rate 200] [--writers 80] [--log-ins 32] [--password "..."]
//
// The database was filled by `ringway seed` with U users. The first --readers of them read; the writers are registered
// here; the log-ins are those of the last seeded users.
//
// reads   closed loop: each of the connections asks again when it has its answer, one kind of read after the other
// writes  open loop: R requests a second, whatever the answers do, half of them profile updates, a quarter requests for
//         friendship and a quarter their acceptance; a time counts from when a request was due
// logins  closed loop of log-ins, --log-ins at a time, so that the passwords' pool is full; beside it the open loop of
//         all the other kinds, and before it the same without log-ins
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounts.h"
#include "client.h"
#include "http.h"
#include "options.h"

enum { DRAIN_S = 15, LOG_IN_USERS = 200, ACCEPT_LAG = 8, MIX = 8 };

enum kind { PROFILE, FRIENDS, SETTINGS, REQUESTS, UPDATE, ASK, ACCEPT, LOG_IN, KINDS };
static const char *const kind_names[KINDS] = {
    "own profile", "friends", "settings", "requests", "update", "ask", "accept", "log-in",
};

static struct {
    uint16_t port;
    pid_t server;
    unsigned users, readers, writers, connections, friends, rate, log_ins;
    double seconds;
    const char *phases, *password;
} options = {
    .readers = 32, .writers = 80, .connections = 64, .friends = 200, .rate = 200, .log_ins = 32, .seconds = 5,
    .phases = "reads,writes,logins", .password = "seeded password",
};

struct ask {
    unsigned from, to;
    char id[24];          // "" until it is known
    uint64_t accept_due;  // 0 until it is due
};

static struct account *readers, *writers;
static struct ask *asks;
static unsigned asks_room, asks_count, accepts_count;
static struct histogram latencies[KINDS];
static uint64_t wrong[KINDS];
static struct http_pool *others;  // all but the log-ins
static uint64_t closed_until;     // the closed loop's end
static unsigned updates;

// Requests

static void send_read(struct http_pool *pool, enum kind kind, unsigned who, uint64_t due) {
    static const char *const paths[] = {
        [PROFILE] = "/v1/profiles/me", [FRIENDS] = "/v1/friends", [SETTINGS] = "/v1/settings",
        [REQUESTS] = "/v1/friend-requests?limit=200",
    };
    struct http_request request = { .method = "GET", .due_ns = due, .kind = kind, .who = who };
    request.token = readers[who].token;
    snprintf(request.path, sizeof request.path, "%s", paths[kind]);
    http_send(pool, &request);
}

static void send_update(unsigned who, uint64_t due) {
    struct http_request request = {
        .method = "PATCH", .path = "/v1/profiles/me", .due_ns = due, .kind = UPDATE, .who = who, .number = ++updates,
    };
    request.token = writers[who].token;
    snprintf(request.body, sizeof request.body, "{\"signature\":\"update %u\"}", request.number);
    http_send(others, &request);
}

// The n-th pair of writers: first all neighbours, then all that are two apart, and so on; none twice.
static void send_ask(unsigned n, uint64_t due) {
    if (n >= asks_room) {
        die("%u writers are too few: no two strangers are left", options.writers);
    }
    struct ask *ask = &asks[n];
    ask->from = n % options.writers;
    ask->to = (ask->from + 1 + n / options.writers) % options.writers;
    struct http_request request = {
        .method = "POST", .path = "/v1/friend-requests", .due_ns = due, .kind = ASK, .who = ask->from, .number = n,
    };
    request.token = writers[ask->from].token;
    snprintf(request.body, sizeof request.body, "{\"to\":\"%s\",\"message\":\"hello\"}", writers[ask->to].user_id);
    http_send(others, &request);
}

static void send_accept(unsigned n, uint64_t due) {
    const struct ask *ask = &asks[n];
    struct http_request request = {
        .method = "POST", .body = "{}", .due_ns = due, .kind = ACCEPT, .who = ask->to, .number = n,
    };
    request.token = writers[ask->to].token;
    snprintf(request.path, sizeof request.path, "/v1/friend-requests/%s:accept", ask->id);
    http_send(others, &request);
}

static void send_log_in(struct http_pool *pool, unsigned number, uint64_t due) {
    struct http_request request = { .method = "POST", .path = "/v1/auth/login", .due_ns = due, .kind = LOG_IN };
    request.number = number;
    const unsigned users = options.users < LOG_IN_USERS ? options.users : LOG_IN_USERS;
    snprintf(request.body, sizeof request.body,
             "{\"username\":\"seed%07u\",\"password\":\"%s\",\"device\":{\"name\":\"bench\",\"platform\":\"linux\"}}",
             options.users - 1 - number % users, options.password);
    http_send(pool, &request);
}

// Answers

static unsigned count_of(const char *text, const char *what) {
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what)) {
        count++;
    }
    return count;
}

static int is_right(const struct http_request *request, const char *body, size_t length) {
    char value[64], expected[64];
    switch ((enum kind)request->kind) {
        case PROFILE:
            return json_string(body, length, "userId", value, sizeof value)
                && strcmp(value, readers[request->who].user_id) == 0;
        case FRIENDS:
            return count_of(body, "\"userId\":") == options.friends;
        case SETTINGS:
            return strstr(body, "\"privacy\":") != NULL && strstr(body, "\"push\":") != NULL;
        case REQUESTS:
            return strstr(body, "\"requests\":[") != NULL;
        case UPDATE:
            snprintf(expected, sizeof expected, "update %u", request->number);
            return json_string(body, length, "signature", value, sizeof value) && strcmp(value, expected) == 0;
        case ASK:
            return json_string(body, length, "id", asks[request->number].id, sizeof asks[0].id)
                && json_string(body, length, "state", value, sizeof value) && strcmp(value, "PENDING") == 0;
        case ACCEPT:
            return json_string(body, length, "state", value, sizeof value) && strcmp(value, "ACCEPTED") == 0;
        case LOG_IN:
            return strstr(body, "\"accessToken\":\"") != NULL;
        case KINDS:
            break;
    }
    return 0;
}

static void take(const struct http_request *request, int status, const char *body, size_t length) {
    histogram_add(&latencies[request->kind], clock_ns() - request->due_ns);
    if (status / 100 == 2 && is_right(request, body, length)) {
        return;
    }
    if (wrong[request->kind]++ == 0) {
        fprintf(stderr, "services: %s: %d %.300s\n", kind_names[request->kind], status, body);
    }
}

static void answered_open(struct http_pool *pool, const struct http_request *request, int status, const char *body,
                          size_t length) {
    (void)pool;
    take(request, status, body, length);
    if (request->kind == ASK && asks[request->number].accept_due != 0 && asks[request->number].id[0] != '\0') {
        send_accept(request->number, asks[request->number].accept_due);
    }
}

static void answered_closed(struct http_pool *pool, const struct http_request *request, int status, const char *body,
                            size_t length) {
    take(request, status, body, length);
    const uint64_t now = clock_ns();
    if (now < closed_until && request->kind == LOG_IN) {
        send_log_in(pool, request->number + options.log_ins, now);
    } else if (now < closed_until) {
        send_read(pool, request->kind, request->who, now);
    }
}

// Loads

static void clear(void) {
    memset(latencies, 0, sizeof latencies);
    memset(wrong, 0, sizeof wrong);
}

static int report(const char *phase, double seconds, struct usage before) {
    const struct usage after = process_usage(options.server);
    uint64_t total = 0, failures = 0;
    for (enum kind kind = 0; kind < KINDS; kind++) {
        total += latencies[kind].count;
        failures += wrong[kind];
    }
    for (enum kind kind = 0; kind < KINDS; kind++) {
        const struct histogram *own = &latencies[kind];
        if (own->count > 0) {
            printf("{\"phase\":\"%s\",\"kind\":\"%s\",\"requests\":%llu,\"seconds\":%.2f,\"requests_per_s\":%.1f,"
                   "\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f,\"server_cpu_us\":%.1f,\"wrong\":%llu}\n",
                   phase, kind_names[kind], (unsigned long long)own->count, seconds, (double)own->count / seconds,
                   histogram_us(own, 0.5) / 1000, histogram_us(own, 0.99) / 1000, (double)own->max / 1e6,
                   (double)(after.cpu_ns - before.cpu_ns) / 1000 / (double)total, (unsigned long long)wrong[kind]);
        }
    }
    fflush(stdout);
    return failures == 0;
}

// Until nothing is unanswered; what never is ends the program.
static void drain(struct http_pool *pool) {
    const uint64_t until = clock_ns() + DRAIN_S * 1000000000ull;
    while (http_unanswered(pool) > 0) {
        http_turn(10000000);
        if (clock_ns() > until) {
            die("%zu requests have no answer after %d s", http_unanswered(pool), DRAIN_S);
        }
    }
}

static int read_closed(enum kind kind) {
    struct http_pool *pool = http_open(options.port, options.connections, answered_closed);
    // The first fifth is not counted: statements are prepared, caches filled.
    const uint64_t began = clock_ns(), second = 1000000000u;
    closed_until = began + (uint64_t)(options.seconds * 1.2 * (double)second);
    for (unsigned i = 0; i < options.connections; i++) {
        send_read(pool, kind, i % options.readers, began);
    }
    while (clock_ns() < began + (uint64_t)(options.seconds * 0.2 * (double)second)) {
        http_turn(1000000);
    }
    const uint64_t wrong_before = wrong[kind];
    clear();
    wrong[kind] = wrong_before;
    const struct usage before = process_usage(options.server);
    const uint64_t measured = clock_ns();
    while (clock_ns() < closed_until) {
        http_turn(10000000);
    }
    const double seconds = (double)(clock_ns() - measured) / 1e9;
    const int good = report("reads", seconds, before);
    drain(pool);
    http_close(pool);
    clear();
    return good;
}

static void send_write(uint64_t number, uint64_t due) {
    if (number % 4 == 1) {
        send_ask(asks_count++, due);
    } else if (number % 4 == 3 && accepts_count + ACCEPT_LAG < asks_count) {
        struct ask *ask = &asks[accepts_count++];
        if (ask->id[0] != '\0') {
            send_accept((unsigned)(ask - asks), due);
        } else {
            ask->accept_due = due;
        }
    } else {
        send_update((unsigned)(number / 2 % options.writers), due);
    }
}

static void send_mixed(uint64_t number, uint64_t due) {
    const unsigned who = (unsigned)(number / MIX % options.readers);
    const enum kind reads[] = { PROFILE, FRIENDS, SETTINGS, REQUESTS };
    if (number % 2 == 0) {
        send_read(others, reads[number / 2 % 4], who, due);
    } else {
        send_write(number / 2, due);
    }
}

// Sends at the rate, for as long as a phase is, and waits for the last answer.
static void send_at_rate(void (*send_one)(uint64_t number, uint64_t due), uint64_t *number) {
    const uint64_t began = clock_ns(), count = (uint64_t)(options.rate * options.seconds);
    for (uint64_t next = 0; next < count;) {
        const uint64_t now = clock_ns();
        uint64_t due = began + next * 1000000000u / options.rate;
        while (next < count && due <= now) {
            send_one((*number)++, due);
            due = began + ++next * 1000000000u / options.rate;
        }
        http_turn(due > now ? due - now : 0);
    }
    drain(others);
}

static int run_open(const char *phase, void (*send_one)(uint64_t number, uint64_t due)) {
    static uint64_t number;
    clear();
    const struct usage before = process_usage(options.server);
    const uint64_t began = clock_ns();
    send_at_rate(send_one, &number);
    return report(phase, (double)(clock_ns() - began) / 1e9, before);
}

static int run_log_ins(void) {
    struct http_pool *pool = http_open(options.port, options.log_ins, answered_closed);
    const uint64_t began = clock_ns();
    closed_until = began + (uint64_t)(options.seconds * 1e9);
    for (unsigned i = 0; i < options.log_ins; i++) {
        send_log_in(pool, i, began);
    }
    const int good = run_open("logins", send_mixed);
    drain(pool);
    http_close(pool);
    return good;
}

// Setting up

static void set_up(int writes) {
    readers = calloc(options.readers, sizeof *readers);
    writers = calloc(options.writers, sizeof *writers);
    // Of the pairs half a circle apart each would come twice.
    asks_room = options.writers * ((options.writers - 1) / 2);
    asks = calloc(asks_room + 1, sizeof *asks);
    if (readers == NULL || writers == NULL || asks == NULL) {
        die("out of memory");
    }
    for (unsigned i = 0; i < options.readers; i++) {
        char name[24];
        snprintf(name, sizeof name, "seed%07u", i);
        account_log_in(options.port, name, options.password, &readers[i]);
    }
    for (unsigned i = 0; writes && i < options.writers; i++) {
        account_register(options.port, i, &writers[i]);
    }
}

int main(int argc, char **argv) {
    const struct option_spec specs[] = {
        { "--port", OPTION_PORT, &options.port },           { "--server-pid", OPTION_PID, &options.server },
        { "--users", OPTION_UNSIGNED, &options.users },     { "--readers", OPTION_UNSIGNED, &options.readers },
        { "--writers", OPTION_UNSIGNED, &options.writers }, { "--connections", OPTION_UNSIGNED, &options.connections },
        { "--friends", OPTION_UNSIGNED, &options.friends }, { "--rate", OPTION_UNSIGNED, &options.rate },
        { "--log-ins", OPTION_UNSIGNED, &options.log_ins }, { "--seconds", OPTION_SECONDS, &options.seconds },
        { "--phases", OPTION_TEXT, &options.phases },       { "--password", OPTION_TEXT, &options.password },
    };
    options_parse(argc, argv, specs, sizeof specs / sizeof *specs);
    if (options.port == 0 || options.users < options.readers || options.readers == 0 || options.writers < 3
        || options.connections == 0 || options.rate == 0 || options.log_ins == 0) {
        die("--port or --users is missing, or a number is too small");
    }
    const int reads = strstr(options.phases, "reads") != NULL, writes = strstr(options.phases, "writes") != NULL;
    const int logins = strstr(options.phases, "logins") != NULL;
    set_up(writes || logins);
    others = http_open(options.port, options.connections, answered_open);
    int good = 1;
    for (enum kind kind = PROFILE; reads && kind <= REQUESTS; kind++) {
        good &= read_closed(kind);
    }
    if (writes) {
        good &= run_open("writes", send_write);
    }
    if (logins) {
        good &= run_open("before logins", send_mixed);
        good &= run_log_ins();
    }
    return good ? 0 : 1;
}
