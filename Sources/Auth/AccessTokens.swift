// Access tokens: JWTs (RFC 9068's type) signed with ES256. The keys are made on the first start and kept in the
// database, so that every node verifies what any node has signed; the newest signs.
//
// JWTKit signs and verifies. Before it sees a token, the size, the form and the header are checked here: its key
// collection falls back to a default key for an unknown `kid`, and its own header type traps on numbers beyond Int64.
//
// What has been verified is remembered until it expires, by the token's digest, so that a device's next request costs a
// hash instead of a curve. Keys and memory belong to mutexes; any thread may ask.
import Contract
import Crypto
import Foundation
import JWTKit
import Postgres
import ServiceKit
import Synchronization

/// A pair of keys as it is stored.
struct SigningKey: Sendable {
    let kid: String
    /// PKCS#8, PEM.
    let privateKey: String
    /// Whether its time to sign has come. A new key is published for a while before.
    var signs = true

    /// A new one. Its id is the key's RFC 7638 thumbprint, so an id never names two keys.
    init() {
        let key = P256.Signing.PrivateKey()
        let coordinates = key.publicKey.rawRepresentation
        let (x, y) = (Base64URL.encode(coordinates.prefix(32)), Base64URL.encode(coordinates.suffix(32)))
        let jwk = #"{"crv":"P-256","kty":"EC","x":"\#(x)","y":"\#(y)"}"#
        kid = Base64URL.encode(SHA256.hash(data: Array(jwk.utf8)))
        privateKey = key.pemRepresentation
    }

    init(kid: String, privateKey: String, signs: Bool = true) {
        self.kid = kid
        self.privateKey = privateKey
        self.signs = signs
    }

    /// As it is published (RFC 7518 section 6.2).
    func published() throws -> Ringway_V1_PublicKey {
        let coordinates = try P256.Signing.PrivateKey(pemRepresentation: privateKey).publicKey.rawRepresentation
        return .with {
            ($0.kty, $0.crv, $0.use, $0.alg, $0.kid) = ("EC", "P-256", "sig", "ES256", kid)
            $0.x = Base64URL.encode(coordinates.prefix(32))
            $0.y = Base64URL.encode(coordinates.suffix(32))
        }
    }
}

/// The keys of an installation, ready for use. Loaded at start, and again every so often.
public struct SigningKeys: Sendable {
    let published: [Ringway_V1_PublicKey]
    fileprivate let signer: JWKIdentifier
    /// One collection a key: one that holds a single key can't pick another.
    fileprivate let collections: [String: JWTKeyCollection]

    /// Reads the keys, and makes the first one if there is none; nodes that start together agree on it.
    public static func load(from postgres: PostgresClient) async throws -> SigningKeys {
        try await SigningKeys(AuthStore(postgres: postgres).signingKeys())
    }

    /// Adds a key that signs after `delay`, and drops those whose last token has expired for sure.
    public static func rotate(
        in postgres: PostgresClient, delay: Duration
    ) async throws -> (added: String, dropped: [String]) {
        try await AuthStore(postgres: postgres).rotateKeys(delay: delay, keeping: .seconds(60 * 60))
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
        published = try keys.map { try $0.published() }
        signer = JWKIdentifier(string: (keys.first(where: \.signs) ?? keys[keys.count - 1]).kid)
    }
}

/// What a good access token says.
struct AccessGrant: Equatable {
    let userID: Int64
    let deviceID: Int64
    /// Unix time in seconds.
    let expiresAt: Int64
}

final class AccessTokens: Sendable {
    private static let type = "at+jwt"
    /// Ours take about 400 bytes. What is longer is not read at all.
    private static let maximumBytes = 4096
    private static let rememberedMax = 65_536

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

    private let keys: Mutex<SigningKeys>
    private let remembered = Mutex(BoundedCache<SHA256Digest, AccessGrant>(capacity: rememberedMax))
    private let verifications = Atomic(0)
    private let issuer: String
    private let audience: String
    let lifetime: Duration

    init(keys: SigningKeys, settings: AuthSettings) {
        self.keys = Mutex(keys)
        issuer = settings.issuer
        audience = settings.audience
        lifetime = settings.accessTokenLifetime
    }

    /// Signatures looked at since the start: what a check costs, and what a token that is remembered does not.
    var verificationCount: Int { verifications.load(ordering: .relaxed) }

    var publishedKeys: [Ringway_V1_PublicKey] { keys.withLock { $0.published } }

    /// From now on these are the keys. What others had signed is forgotten.
    func use(_ newKeys: SigningKeys) {
        let changed = keys.withLock { keys in
            let changed = keys.published != newKeys.published
            keys = newKeys
            return changed
        }
        if changed { remembered.withLock { $0 = BoundedCache(capacity: Self.rememberedMax) } }
    }

    func issue(user: Int64, device: Int64, now: Date = .now) async throws -> String {
        let issuedAt = Int64(now.timeIntervalSince1970)
        let claims = Claims(
            iss: issuer, aud: audience, sub: String(user), sid: String(device), iat: issuedAt,
            exp: issuedAt + lifetime.components.seconds)
        let keys = keys.withLock { $0 }
        return try await keys.collections[keys.signer.string]!.sign(
            claims, kid: keys.signer, header: ["typ": .string(Self.type)])
    }

    func verify(_ token: String, now: Date = .now) async throws(AuthError) -> AccessGrant {
        guard token.utf8.count <= Self.maximumBytes else { throw .accessRefused }
        let digest = SHA256.hash(data: Array(token.utf8))
        let grant: AccessGrant
        if let known = remembered.withLock({ $0.value(for: digest) }) {
            grant = known
        } else {
            grant = try await verifySignature(of: token)
            remembered.withLock { $0.insert(grant, for: digest) }
        }
        guard grant.expiresAt > Int64(now.timeIntervalSince1970) else {
            remembered.withLock { $0.remove(digest) }
            throw .accessRefused
        }
        return grant
    }

    /// All but the expiry.
    private func verifySignature(of token: String) async throws(AuthError) -> AccessGrant {
        let keys = keys.withLock { $0 }
        let parts = token.split(separator: ".", maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count == 3, let collection = Self.header(in: parts).flatMap({ keys.collections[$0.kid] }) else {
            throw .accessRefused
        }
        verifications.add(1, ordering: .relaxed)
        guard let claims = try? await collection.verify(token, as: Claims.self), Self.holdsEachOnce(claimsIn: parts[1]),
            claims.iss == issuer, claims.aud == audience, let user = Int64(claims.sub), let device = Int64(claims.sid)
        else { throw .accessRefused }
        return AccessGrant(userID: user, deviceID: device, expiresAt: claims.exp)
    }

    /// The header, if the token may be one of ours as far as one can tell without a key.
    private static func header(in parts: [Substring]) -> Header? {
        guard let json = Base64URL.decode(parts[0]),
            // The header and the claims are signed as they are written; the signature itself could be written in
            // several ways, if nobody looked.
            Base64URL.decode(parts[2])?.count == 64,
            let header = try? JSONDecoder().decode(Header.self, from: json),
            header.alg == "ES256", header.typ == type,
            // As long as ours, so it has these three members once, in some order, and no other: no crit, jku, jwk, x5u.
            json.count == #"{"alg":"ES256","kid":"","typ":"at+jwt"}"#.utf8.count + header.kid.utf8.count
        else { return nil }
        return header
    }

    /// Six members, four of them strings: twenty quotation marks. A member that stands twice makes more.
    private static func holdsEachOnce(claimsIn part: Substring) -> Bool {
        guard let json = Base64URL.decode(part),
            let members = try? JSONSerialization.jsonObject(with: json) as? [String: Any]
        else { return false }
        return members.count == 6 && json.count { $0 == UInt8(ascii: "\"") } == 20
    }
}
