// Certificate authorities that a client trusts beside the system's: whose gateway has a certificate of a private one.
import AsyncHTTPClient
import NIOSSL

/// Of a PEM file, which is read once. Share one between clients: each has connections of its own for calls over HTTP.
public final class TrustedAuthorities: Sendable {
    let tls: TLSConfiguration
    let client: HTTPClient

    /// Throws RingwayError INVALID_ARGUMENT when the file can't be read or holds no certificate.
    public init(pemFile path: String) throws(RingwayError) {
        var tls = TLSConfiguration.makeClientConfiguration()
        do {
            let certificates = try NIOSSLCertificate.fromPEMFile(path)
            guard !certificates.isEmpty else { throw NIOSSLError.failedToLoadCertificate }
            tls.additionalTrustRoots = [.certificates(certificates)]
        } catch {
            let message = "\(path) can't be read, or holds no certificate in PEM"
            throw RingwayError(code: "INVALID_ARGUMENT", message: message)
        }
        self.tls = tls
        client = HTTPCaller.makeClient(tls)
    }

    deinit {
        client.shutdown { _ in }
    }
}
