// Accounts for a benchmark, made through the HTTP API as any client makes them. One thread, blocking.
#ifndef BENCH_ACCOUNTS_H
#define BENCH_ACCOUNTS_H

#include <stddef.h>
#include <stdint.h>

struct account {
    char user_id[24];
    char token[2048];  // the access token of its one device
};

// Registers a fresh user; index makes its name unique within this process.
void account_register(uint16_t http_port, unsigned index, struct account *account);
// Adds a device to one that exists.
void account_log_in(uint16_t http_port, const char *name, const char *password, struct account *account);
// a asks, b accepts.
void account_befriend(uint16_t http_port, const struct account *a, const struct account *b);

// Finds "name":"value" in JSON without spaces and copies the value, which holds no escapes. Returns whether it was
// there and fits.
int json_string(const char *json, size_t length, const char *name, char *value, size_t room);

#endif
