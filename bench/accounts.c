// See accounts.h. Speaks just enough HTTP/1.1: one request a connection, the answer ends with it.
#define _GNU_SOURCE
#include "accounts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

enum { ANSWER_BYTES_MAX = 16384, BUSY_RETRIES = 300, BUSY_WAIT_US = 100000 };

int json_string(const char *json, size_t length, const char *name, char *value, size_t room) {
    char key[64];
    const size_t key_length = (size_t)snprintf(key, sizeof key, "\"%s\":\"", name);
    const char *found = memmem(json, length, key, key_length);
    if (found == NULL) {
        return 0;
    }
    const char *start = found + key_length;
    const char *end = memchr(start, '"', length - (size_t)(start - json));
    if (end == NULL || (size_t)(end - start) >= room) {
        return 0;
    }
    memcpy(value, start, (size_t)(end - start));
    value[end - start] = '\0';
    return 1;
}

// Returns the status; the answer, head and body, is in `answer`.
static int post_once(uint16_t port, const char *path, const char *token, const char *body, char *answer) {
    const int fd = tcp_connect(port, 0);
    if (fd < 0) {
        die("HTTP: %s", strerror(-fd));
    }
    char request[4096];
    const int length = snprintf(
        request, sizeof request,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\nContent-Type: application/json\r\n"
        "%s%s%sContent-Length: %zu\r\n\r\n%s",
        path, port, token ? "Authorization: Bearer " : "", token ? token : "", token ? "\r\n" : "", strlen(body), body);
    if (length >= (int)sizeof request || send(fd, request, (size_t)length, MSG_NOSIGNAL) != length) {
        die("HTTP: %s can't be sent", path);
    }
    size_t filled = 0;
    ssize_t count;
    while ((count = recv(fd, answer + filled, ANSWER_BYTES_MAX - filled, 0)) > 0) {
        filled += (size_t)count;
    }
    answer[filled] = '\0';
    close(fd);
    int status = 0;
    if (sscanf(answer, "HTTP/1.1 %d", &status) != 1) {
        die("HTTP: %s was not answered", path);
    }
    return status;
}

static void post(uint16_t port, const char *path, const char *token, const char *body,
                 char answer[static ANSWER_BYTES_MAX + 1]) {
    int status = post_once(port, path, token, body, answer);
    // 429 and 503 are limits at work: setting up may be slow, and is not what is measured.
    for (int retry = 0; (status == 429 || status == 503) && retry < BUSY_RETRIES; retry++) {
        usleep(BUSY_WAIT_US);
        status = post_once(port, path, token, body, answer);
    }
    if (status / 100 != 2) {
        const char *head_end = strstr(answer, "\r\n\r\n");
        die("HTTP: %s: %d %s", path, status, head_end ? head_end + 4 : "");
    }
}

static void enter(uint16_t port, const char *path, const char *name, const char *password, struct account *account) {
    char body[256], answer[ANSWER_BYTES_MAX + 1];
    snprintf(body, sizeof body,
             "{\"username\":\"%s\",\"password\":\"%s\",\"device\":{\"name\":\"bench\",\"platform\":\"linux\"}}", name,
             password);
    post(port, path, NULL, body, answer);
    const size_t length = strlen(answer);
    if (!json_string(answer, length, "userId", account->user_id, sizeof account->user_id)
        || !json_string(answer, length, "accessToken", account->token, sizeof account->token)) {
        die("HTTP: %s: the answer has no userId or accessToken", path);
    }
}

void account_register(uint16_t http_port, unsigned index, struct account *account) {
    char name[40], password[40];
    snprintf(name, sizeof name, "bench-%d-%u", getpid(), index);
    snprintf(password, sizeof password, "correct horse %u", index);
    enter(http_port, "/v1/auth/register", name, password, account);
}

void account_log_in(uint16_t http_port, const char *name, const char *password, struct account *account) {
    enter(http_port, "/v1/auth/login", name, password, account);
}

void account_befriend(uint16_t http_port, const struct account *a, const struct account *b) {
    char body[128], path[128], id[32], answer[ANSWER_BYTES_MAX + 1];
    snprintf(body, sizeof body, "{\"to\":\"%s\",\"message\":\"\"}", b->user_id);
    post(http_port, "/v1/friend-requests", a->token, body, answer);
    if (!json_string(answer, strlen(answer), "id", id, sizeof id)) {
        die("the answer to a friend request has no id");
    }
    snprintf(path, sizeof path, "/v1/friend-requests/%s:accept", id);
    post(http_port, path, b->token, "{}", answer);
}
