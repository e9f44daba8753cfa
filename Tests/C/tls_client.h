// What tests of TLS need: certificates made on the spot, and clients whose sockets speak TLS.
//
// A socket begins TLS with its first send or receive: socket_send and its likes do what send, recv and close do, with
// ciphertext on the wire, for sockets of this process while tls_client_context is set. gateway_client.h puts them in
// the place of the real ones for whole test programs (TEST_IO=tls). One thread a socket.
#ifndef TLS_CLIENT_H
#define TLS_CLIENT_H

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test.h"

struct tls_files {
    char directory[64], certificate[96], key[96];
};

HELPER struct tls_files tls_files_named(const char *directory, const char *name) {
    struct tls_files files;
    (void)snprintf(files.directory, sizeof files.directory, "%.60s", directory);
    (void)snprintf(files.certificate, sizeof files.certificate, "%.60s/%.20s.crt", directory, name);
    (void)snprintf(files.key, sizeof files.key, "%.60s/%.20s.key", directory, name);
    return files;
}

// Signed by itself.
HELPER void tls_sign_certificate(const struct tls_files *files, const char *subject, EVP_PKEY *key,
                                 const EVP_MD *digest) {
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    CHECK(key != NULL && X509_set_version(certificate, 2) == 1);
    CHECK(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1);
    CHECK(X509_gmtime_adj(X509_getm_notBefore(certificate), -60) != NULL);
    CHECK(X509_gmtime_adj(X509_getm_notAfter(certificate), 86400) != NULL);
    CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)subject, -1, -1, 0) == 1);
    CHECK(X509_set_issuer_name(certificate, name) == 1 && X509_set_pubkey(certificate, key) == 1);
    CHECK(X509_sign(certificate, key, digest) > 0);
    FILE *file = fopen(files->certificate, "w");
    CHECK(file != NULL && PEM_write_X509(file, certificate) == 1 && fclose(file) == 0);
    file = fopen(files->key, "w");
    CHECK(file != NULL && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(file) == 0);
    X509_free(certificate);
}

// The key is the caller's to free.
HELPER EVP_PKEY *tls_write_certificate(const struct tls_files *files, const char *subject) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    tls_sign_certificate(files, subject, key, EVP_sha256());
    return key;
}

static struct tls_files tls_files_made;

HELPER void tls_files_remove(void) {
    unlink(tls_files_made.certificate);
    unlink(tls_files_made.key);
    rmdir(tls_files_made.directory);
}

// One pair for the whole process, gone with it.
HELPER const struct tls_files *tls_files(void) {
    if (tls_files_made.directory[0] == 0) {
        char directory[] = "/tmp/ringway-tls-XXXXXX";
        CHECK(mkdtemp(directory) != NULL);
        tls_files_made = tls_files_named(directory, "server");
        EVP_PKEY_free(tls_write_certificate(&tls_files_made, "localhost"));
        atexit(tls_files_remove);
    }
    return &tls_files_made;
}

// Clients.

enum { TLS_CLIENT_FDS = 32768 };
static SSL_CTX *tls_client_context;
static SSL *tls_client_sockets[TLS_CLIENT_FDS];

HELPER SSL_CTX *tls_client_context_new(void) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    CHECK(context != NULL && signal(SIGPIPE, SIG_IGN) != SIG_ERR);   // OpenSSL writes without MSG_NOSIGNAL
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return context;
}

HELPER SSL *tls_client_of(int fd) {
    CHECK(fd >= 0 && fd < TLS_CLIENT_FDS && tls_client_context != NULL);
    SSL **ssl = &tls_client_sockets[fd];
    if (*ssl == NULL) {
        *ssl = SSL_new(tls_client_context);
        CHECK(*ssl != NULL && SSL_set_fd(*ssl, fd) == 1);
        CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
        SSL_set_connect_state(*ssl);
    }
    return *ssl;
}

// What recv or send would have returned, with errno; 1 when the call is worth trying again after a wait.
HELPER int tls_client_outcome(SSL *ssl, int result, ssize_t *returned, short *awaited) {
    const int error = SSL_get_error(ssl, result);
    *returned = -1;
    ERR_clear_error();
    switch (error) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        *awaited = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
        errno = EAGAIN;
        return 1;
    case SSL_ERROR_ZERO_RETURN:
        *returned = 0;
        return 0;
    default:
        errno = ECONNRESET;
        return 0;
    }
}

HELPER ssize_t tls_client_do(int fd, void *bytes, size_t length, int flags, int writing) {
    SSL *ssl = tls_client_of(fd);
    size_t done = 0;
    while (done < length) {
        size_t some;
        uint8_t *at = (uint8_t *)bytes + done;
        const int result = writing ? SSL_write_ex(ssl, at, length - done, &some)
            : flags & MSG_PEEK ? SSL_peek_ex(ssl, at, length - done, &some)
                               : SSL_read_ex(ssl, at, length - done, &some);
        if (result == 1) {
            done += some;
            if (flags & MSG_PEEK) {
                break;
            }
            continue;
        }
        ssize_t returned;
        short awaited = 0;
        const int again = tls_client_outcome(ssl, result, &returned, &awaited);
        // A receive returns what there is, as one of plaintext would.
        if (!again || (flags & MSG_DONTWAIT) || (done > 0 && !writing && !(flags & MSG_WAITALL))) {
            return done > 0 ? (ssize_t)done : returned;
        }
        struct pollfd wait = { .fd = fd, .events = awaited };
        CHECK(poll(&wait, 1, 20000) == 1);
    }
    return (ssize_t)done;
}

HELPER ssize_t socket_send(int fd, const void *bytes, size_t length, int flags) {
    return tls_client_context == NULL ? send(fd, bytes, length, flags)
                                      : tls_client_do(fd, (void *)(uintptr_t)bytes, length, flags, 1);
}

HELPER ssize_t socket_recv(int fd, void *bytes, size_t room, int flags) {
    return tls_client_context == NULL ? recv(fd, bytes, room, flags) : tls_client_do(fd, bytes, room, flags, 0);
}

// Without close_notify, as a peer that vanishes.
HELPER int socket_close(int fd) {
    if (fd >= 0 && fd < TLS_CLIENT_FDS && tls_client_sockets[fd] != NULL) {
        SSL_free(tls_client_sockets[fd]);
        tls_client_sockets[fd] = NULL;
    }
    return close(fd);
}

#endif
