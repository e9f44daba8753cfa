// Access tokens: JWTs (RFC 9068's type) signed with ES256. The keys are made on the first start and kept in the
// database, so that every node verifies what any node has signed; the newest signs.
//
// JWTKit signs and verifies. Before it sees a token, the size, the form and the header are checked here: its key
// collection falls back to a default key for an unknown `kid`, and its own header type traps on numbers beyond Int64.
import Crypto
import Foundation
import JWTKit
import Postgres

/// A pair of keys as it is stored.
struct SigningKey: Sendable {
    let kid: String
    /// PKCS#8, PEM.
    let privateKey: String

    /// A new one. Its id is the key's RFC 7638 thumbprint, so an id never names two keys.
    init() {
        let key = P256.Signing.PrivateKey()
        let coordinates = key.publicKey.rawRepresentation
        let (x, y) = (Base64URL.encode(coordinates.prefix(32)), Base64URL.encode(coordinates.suffix(32)))
        let jwk = #"{"crv":"P-256","kty":"EC","x":"\#(x)","y":"\#(y)"}"#
        kid = Base64URL.encode(SHA256.hash(data: Array(jwk.utf8)))
        privateKey = key.pemRepresentation
    }

    init(kid: String, privateKey: String) {
        self.kid = kid
        self.privateKey = privateKey
    }
}

/// The keys of an installation, ready for use. Loaded once at start.
public struct SigningKeys: Sendable {
    fileprivate let newest: JWKIdentifier
    /// One collection a key: one that holds a single key can't pick another.
    fileprivate let collections: [String: JWTKeyCollection]

    /// Reads the keys, and makes the first one if there is none; nodes that start together agree on it.
    public static func load(from postgres: PostgresClient) async throws -> SigningKeys {
        try await SigningKeys(AuthStore(postgres: postgres).signingKeys())
    }

    /// - Parameter keys: at least one, the newest first.
    init(_ keys: [SigningKey]) async throws {
        precondition(!keys.isEmpty, "there is nothing to sign with")
        var collections: [String: JWTKeyCollection] = [:]
        for key in keys {
            let pair = try ES256PrivateKey(pem: key.privateKey)
            collections[key.kid] = await JWTKeyCollection().add(ecdsa: pair, kid: JWKIdentifier(string: key.kid))
        }
        self.collections = collections
        newest = JWKIdentifier(string: keys[0].kid)
    }
}

/// What a good access token says.
struct AccessGrant: Equatable {
    let userID: Int64
    let deviceID: Int64
    /// Unix time in seconds.
    let expiresAt: Int64
}

struct AccessTokens: Sendable {
    private static let type = "at+jwt"
    /// Ours take about 400 bytes. What is longer is not read at all.
    private static let maximumBytes = 4096

    private struct Header: Decodable {
        let alg: String
        let kid: String
        let typ: String
    }

    private struct Claims: JWTPayload {
        let iss: String
        let aud: String
        let sub: String
        let sid: String
        let iat: Int64
        let exp: Int64

        /// Nothing here: who issued it for whom and until when is judged where the settings and the clock are.
        func verify(using algorithm: some JWTAlgorithm) {}
    }

    private let keys: SigningKeys
    private let issuer: String
    private let audience: String
    let lifetime: Duration

    init(keys: SigningKeys, settings: AuthSettings) {
        self.keys = keys
        issuer = settings.issuer
        audience = settings.audience
        lifetime = settings.accessTokenLifetime
    }

    func issue(user: Int64, device: Int64, now: Date = .now) async throws -> String {
        let issuedAt = Int64(now.timeIntervalSince1970)
        let claims = Claims(
            iss: issuer, aud: audience, sub: String(user), sid: String(device), iat: issuedAt,
            exp: issuedAt + lifetime.components.seconds)
        return try await keys.collections[keys.newest.string]!.sign(
            claims, kid: keys.newest, header: ["typ": .string(Self.type)])
    }

    func verify(_ token: String, now: Date = .now) async throws(AuthError) -> AccessGrant {
        guard let collection = Self.header(of: token).flatMap({ keys.collections[$0.kid] }),
            let claims = try? await collection.verify(token, as: Claims.self),
            claims.iss == issuer, claims.aud == audience, claims.exp > Int64(now.timeIntervalSince1970),
            let user = Int64(claims.sub), let device = Int64(claims.sid)
        else { throw .accessRefused }
        return AccessGrant(userID: user, deviceID: device, expiresAt: claims.exp)
    }

    /// The header, if the token may be one of ours as far as one can tell without a key.
    private static func header(of token: String) -> Header? {
        guard token.utf8.count <= maximumBytes else { return nil }
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let json = Base64URL.decode(parts[0]),
            // The header and the claims are signed as they are written; the signature itself could be written in
            // several ways, if nobody looked.
            Base64URL.decode(parts[2])?.count == 64,
            let header = try? JSONDecoder().decode(Header.self, from: json),
            header.alg == "ES256", header.typ == type
        else { return nil }
        return header
    }
}
