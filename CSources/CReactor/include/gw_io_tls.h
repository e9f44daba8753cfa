// TLS 1.2 and 1.3 as a layer of gw_io.h over any backend: what lies above sees plaintext and the same promises, what
// lies below sees ciphertext. OpenSSL shakes hands and does the cryptography; it never sees a descriptor.
//
// Owner and thread: as the backend below. Only the keys that seal session tickets belong to the whole process, so
// that a client resumes at any of its reactors; a lock guards them.
//
// Bounds: a socket has no TLS state before its first byte, and after the handshake its keys only. At most
// handshakes_max shake hands at a time; later ones wait in the order in which their first bytes came, and their time is
// the caller's handshake deadline. A turn takes at most GW_TLS_STEPS steps of handshakes, so that a flood of them does
// not hold up those who are through. Ciphertext lies in a pool of buffer_bytes_max. Of it half is for input that waits,
// the rest of a record first of all: beyond that those whose input has waited longest are ended until the new one fits.
// What is encrypted and not yet taken may have as much again, less at a time the more there is of it; a send that finds
// no buffer waits. 32 records in a row that bring no byte end a connection.
//
// GW_IO_ENDED is told with 0 only for an end that the peer signed (close_notify); -EPROTO: a broken stream or a
// handshake that failed, -ENODATA: an end without signature, -ENOBUFS; -EKEYEXPIRED: AES-GCM's key of TLS 1.2, which has
// none after it, has protected records_max records one way. ChaCha20-Poly1305 has no limit that anyone reaches.
#ifndef GW_IO_TLS_H
#define GW_IO_TLS_H

#include "gw_io.h"

enum {
    GW_TLS_STEPS = 32,
    GW_TLS_RECORDS_MAX = 1 << 24,    // AES-GCM bears 2^24.5 full ones, RFC 8446 section 5.5; of 1.2 no less
};

enum gw_tls_error {
    GW_TLS_ECERTIFICATE = 1,   // the file can't be read, or holds no PEM certificate that OpenSSL accepts
    GW_TLS_EKEY,               // the file can't be read, or holds no PEM key without a passphrase
    GW_TLS_EMISMATCH,          // the key is not the certificate's
};

struct gw_tls_config {
    const char *certificate_file;    // PEM: the server's certificate, then those between it and the root
    const char *key_file;            // PEM
    uint32_t sockets_max;            // that of the backend below
    uint32_t handshakes_max;
    uint64_t buffer_bytes_max;
    uint8_t kernel;                  // leave what is sent to kernel TLS where that can be; see gw_tls_kernel.c
    uint64_t records_max;            // with one key, then comes the next one or, in 1.2, the end; 0: GW_TLS_RECORDS_MAX
};

// Owns inner from here on, in failure too. 0, -ENOMEM, or an enum gw_tls_error.
int gw_io_tls_create(struct gw_io *inner, const struct gw_tls_config *config, struct gw_io **io);

// Versions of which the kernel seals what is sent, for one cipher at least: bit 0 for TLS 1.2, bit 1 for 1.3.
enum { GW_TLS_KERNEL_1_2 = 1, GW_TLS_KERNEL_1_3 = 2 };
uint32_t gw_io_tls_kernel_versions(struct gw_io *io);

// New connections get these; those that are open keep what they have. An error, as above, changes nothing.
int gw_io_tls_reload(struct gw_io *io, const char *certificate_file, const char *key_file);

// Seals tickets with a new key from now on, which happens every six hours by itself. Those of the last key are still
// taken and renewed, older ones are worth a full handshake. Any thread. 0 or -EIO: no random numbers.
int gw_tls_rotate_ticket_keys(void);

#endif
