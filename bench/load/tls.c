// See tls.h.
#include "tls.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "client.h"

static _Noreturn void fail(const char *what) {
    const unsigned long error = ERR_get_error();
    die("TLS: %s: %s", what, error ? ERR_reason_error_string(error) : "the peer ended it");
}

SSL *tls_create(void) {
    static SSL_CTX *context;
    if (context == NULL) {
        context = SSL_CTX_new(TLS_client_method());
        if (context == NULL) {
            fail("context");
        }
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
        // A connection that waits owns no buffer; otherwise 10,000 of them are 340 MB of the generator.
        SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    }
    SSL *tls = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (tls == NULL || in == NULL || out == NULL) {
        fail("create");
    }
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(tls, in, out);
    SSL_set_connect_state(tls);
    return tls;
}

void tls_destroy(SSL *tls) {
    SSL_free(tls);
}

int tls_handshake(SSL *tls) {
    const int result = SSL_do_handshake(tls);
    if (result != 1 && SSL_get_error(tls, result) != SSL_ERROR_WANT_READ) {
        fail("handshake");
    }
    return result == 1;
}

void tls_received(SSL *tls, const uint8_t *data, size_t bytes) {
    if (BIO_write(SSL_get_rbio(tls), data, (int)bytes) != (int)bytes) {
        fail("receive");
    }
}

size_t tls_read(SSL *tls, uint8_t *data, size_t room) {
    const int count = SSL_read(tls, data, room > INT_MAX ? INT_MAX : (int)room);
    if (count <= 0 && SSL_get_error(tls, count) != SSL_ERROR_WANT_READ) {
        fail("read");
    }
    return count > 0 ? (size_t)count : 0;
}

void tls_write(SSL *tls, const uint8_t *data, size_t bytes) {
    size_t written;
    if (SSL_write_ex(tls, data, bytes, &written) != 1 || written != bytes) {
        fail("write");
    }
}

size_t tls_pending(SSL *tls, const uint8_t **data) {
    char *start;
    const long bytes = BIO_get_mem_data(SSL_get_wbio(tls), &start);
    *data = (const uint8_t *)start;
    return bytes > 0 ? (size_t)bytes : 0;
}

void tls_sent(SSL *tls) {
    (void)BIO_reset(SSL_get_wbio(tls));
}
