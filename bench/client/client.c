// See client.h.
#define _GNU_SOURCE
#include "client.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum { CALLERS_PER_ADDRESS = 8192, CONNECT_TIMEOUT_S = 10 };

void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

uint64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// Connections

int tcp_socket(unsigned index) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    const struct timeval timeout = { .tv_sec = CONNECT_TIMEOUT_S };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){ 1 }, sizeof(int));
    struct sockaddr_in from = { .sin_family = AF_INET };
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + index / CALLERS_PER_ADDRESS);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0) {
        const int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

// How a connect ends that a signal has interrupted: it goes on (connect(2)). An io_uring of the same thread interrupts, too.
static int connect_outcome(int fd) {
    struct pollfd writable = { .fd = fd, .events = POLLOUT };
    int ready, error = 0;
    do {
        ready = poll(&writable, 1, CONNECT_TIMEOUT_S * 1000);
    } while (ready < 0 && errno == EINTR);
    if (ready <= 0) {
        return ready == 0 ? ETIMEDOUT : errno;
    }
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){ sizeof error });
    return error;
}

int tcp_connect(uint16_t port, unsigned index) {
    const int fd = tcp_socket(index);
    if (fd < 0) {
        return fd;
    }
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int error = connect(fd, (struct sockaddr *)&to, sizeof to) == 0 ? 0 : errno;
    if (error == EINTR) {
        error = connect_outcome(fd);
    }
    if (error != 0) {
        close(fd);
        return -error;
    }
    return fd;
}

void make_nonblocking(int socket) {
    fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK);
}

// The key and its answer are those of RFC 6455, section 1.3.
size_t ws_request(char *request, size_t room, uint16_t port, const char *path, const char *subprotocol) {
    const int length = snprintf(
        request, room,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s%s%s\r\n",
        path, port, subprotocol ? "Sec-WebSocket-Protocol: " : "", subprotocol ? subprotocol : "",
        subprotocol ? "\r\n" : "");
    if (length < 0 || (size_t)length >= room) {
        die("a request of %d bytes is too long", length);
    }
    return (size_t)length;
}

// The server says nothing of its own before the client's first frame.
int ws_answer(const char *answer) {
    if (strstr(answer, "\r\n\r\n") == NULL) {
        return strlen(answer) < WS_ANSWER_BYTES_MAX ? 0 : -EPROTO;
    }
    return strncmp(answer, "HTTP/1.1 101", 12) == 0 && strstr(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") != NULL ? 1 : -EPROTO;
}

static int read_answer(int fd) {
    char answer[WS_ANSWER_BYTES_MAX + 1];
    size_t length = 0;
    int good = 0;
    while (good == 0) {
        const ssize_t count = recv(fd, answer + length, WS_ANSWER_BYTES_MAX - length, 0);
        if (count <= 0) {
            return count == 0 ? -ECONNRESET : -errno;
        }
        length += (size_t)count;
        answer[length] = '\0';
        good = ws_answer(answer);
    }
    return good;
}

int ws_connect(uint16_t port, unsigned index, const char *path, const char *subprotocol) {
    const int fd = tcp_connect(port, index);
    if (fd < 0) {
        return fd;
    }
    char request[512];
    const size_t length = ws_request(request, sizeof request, port, path, subprotocol);
    const int error = send(fd, request, length, MSG_NOSIGNAL) == (ssize_t)length ? read_answer(fd) : -EPIPE;
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
}

// Frames

size_t ws_frame(uint8_t *out, uint8_t opcode, const uint8_t *payload, size_t bytes) {
    static uint32_t random = 2463534242u;
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    size_t at = 0;
    out[at++] = 0x80 | opcode;
    if (bytes < 126) {
        out[at++] = (uint8_t)(0x80 | bytes);
    } else if (bytes < 65536) {
        out[at++] = 0x80 | 126;
        out[at++] = (uint8_t)(bytes >> 8);
        out[at++] = (uint8_t)bytes;
    } else {
        out[at++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8) {
            out[at++] = (uint8_t)((uint64_t)bytes >> shift);
        }
    }
    uint8_t mask[4];
    memcpy(mask, &random, sizeof mask);
    memcpy(out + at, mask, sizeof mask);
    at += sizeof mask;
    const uint64_t wide = (uint64_t)random << 32 | random;
    size_t i = 0;
    for (; i + sizeof wide <= bytes; i += sizeof wide) {
        uint64_t word;
        memcpy(&word, payload + i, sizeof word);
        word ^= wide;
        memcpy(out + at + i, &word, sizeof word);
    }
    for (; i < bytes; i++) {
        out[at + i] = payload[i] ^ mask[i & 3];
    }
    return at + bytes;
}

int ws_header(const uint8_t *data, size_t length, uint8_t *opcode, uint64_t *payload_bytes) {
    if (length < 2) {
        return 0;
    }
    // FIN, no extension's bits, and no mask.
    if ((data[0] & 0xf0) != 0x80 || data[1] & 0x80) {
        return -1;
    }
    *opcode = data[0] & 0x0f;
    const unsigned extended = data[1] == 126 ? 2 : data[1] == 127 ? 8 : 0;
    if (length < 2 + extended) {
        return 0;
    }
    *payload_bytes = extended ? 0 : data[1];
    for (unsigned i = 0; i < extended; i++) {
        *payload_bytes = *payload_bytes << 8 | data[2 + i];
    }
    return (int)(2 + extended);
}

// Figures

// Values below 128 ns have a bucket each; above, every power of two has 64.
static unsigned histogram_bucket(uint64_t value) {
    if (value < 128) {
        return (unsigned)value;
    }
    const unsigned shift = 57u - (unsigned)__builtin_clzll(value);
    const unsigned bucket = shift * 64 + (unsigned)(value >> shift);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static uint64_t histogram_upper_bound(unsigned bucket) {
    if (bucket < 128) {
        return bucket;
    }
    const unsigned shift = bucket / 64 - 1;
    return ((uint64_t)(bucket - shift * 64 + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value_ns) {
    histogram->count++;
    histogram->buckets[histogram_bucket(value_ns)]++;
    if (value_ns > histogram->max) {
        histogram->max = value_ns;
    }
}

double histogram_us(const struct histogram *histogram, double quantile) {
    const double rank = quantile * (double)histogram->count;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > 0 && (double)seen >= rank) {
            const uint64_t bound = histogram_upper_bound(i);
            return (double)(bound < histogram->max ? bound : histogram->max) / 1000;
        }
    }
    return 0;
}

static uint64_t first_number(const char *path, int skip) {
    unsigned long long value = 0;
    FILE *file = fopen(path, "r");
    if (file != NULL) {
        for (int i = 0; i <= skip; i++) {
            if (fscanf(file, "%llu", &value) != 1) {
                value = 0;
            }
        }
        fclose(file);
    }
    return value;
}

struct usage process_usage(pid_t pid) {
    struct usage usage = { 0 };
    if (pid == 0) {
        return usage;
    }
    char path[320];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL) {
        die("there is no process %d", pid);
    }
    for (const struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, entry->d_name);
            usage.cpu_ns += first_number(path, 0);
        }
    }
    closedir(tasks);
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    usage.resident_bytes = first_number(path, 1) * (uint64_t)sysconf(_SC_PAGESIZE);
    return usage;
}
