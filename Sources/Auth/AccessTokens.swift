// Access tokens: JWTs (RFC 9068's type) signed with ES256, by keys that every node has (SigningKeys.swift).
//
// JWTKit signs and verifies. Before it sees a token, the size, the form and the header are checked here: its key
// collection falls back to a default key for an unknown `kid`, and its own header type traps on numbers beyond Int64.
//
// What has been verified is remembered until it expires, by the token's digest, so that a device's next request costs a
// hash instead of a curve, and no longer than its key is one of the keys. Keys and memory belong to a mutex; any thread may
// ask.
import Contract
import Crypto
import Foundation
import JWTKit
import ServiceKit
import Synchronization

/// What a good access token says.
struct AccessGrant: Equatable {
    let userID: Int64
    let deviceID: Int64
    /// Unix time in seconds.
    let expiresAt: Int64
    /// The key that signed it.
    let keyID: String
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

    private struct State {
        var keys: SigningKeys
        var remembered = BoundedCache<SHA256Digest, AccessGrant>(capacity: rememberedMax)
        /// Grows as the keys change: what was verified with those of before is not remembered after.
        var generation = 0
        /// Loads begun, and the one that brought the keys.
        var begun = 0
        var taken = 0

        mutating func use(_ newKeys: SigningKeys) {
            if keys.published != newKeys.published {
                generation += 1
                remembered = BoundedCache(capacity: rememberedMax)
            }
            keys = newKeys
        }
    }

    private let state: Mutex<State>
    private let verifications = Atomic(0)
    private let issuer: String
    private let audience: String
    let lifetime: Duration

    init(keys: SigningKeys, settings: AuthSettings) {
        state = Mutex(State(keys: keys))
        issuer = settings.issuer
        audience = settings.audience
        lifetime = settings.accessTokenLifetime
    }

    /// Signatures looked at since the start: what a check costs, and what a token that is remembered does not.
    var verificationCount: Int { verifications.load(ordering: .relaxed) }

    var publishedKeys: [Ringway_V1_PublicKey] { state.withLock { $0.keys.published } }

    /// From now on these are the keys. What others had signed is forgotten.
    func use(_ keys: SigningKeys) {
        state.withLock { $0.use(keys) }
    }

    /// Takes up what `load` finds. Of loads that overlap, one that began earlier never takes back what a later one found.
    func reload(_ load: () async throws -> SigningKeys) async throws {
        let turn = state.withLock { state in
            state.begun += 1
            return state.begun
        }
        let keys = try await load()
        state.withLock { state in
            guard turn > state.taken else { return }
            state.taken = turn
            state.use(keys)
        }
    }

    func issue(user: Int64, device: Int64, now: Date = .now) async throws -> String {
        let issuedAt = Int64(now.timeIntervalSince1970)
        let claims = Claims(
            iss: issuer, aud: audience, sub: String(user), sid: String(device), iat: issuedAt,
            exp: issuedAt + lifetime.components.seconds)
        let keys = state.withLock { $0.keys }
        return try await keys.collections[keys.signer.string]!.sign(
            claims, kid: keys.signer, header: ["typ": .string(Self.type)])
    }

    func verify(_ token: String, now: Date = .now) async throws(AuthError) -> AccessGrant {
        guard token.utf8.count <= Self.maximumBytes else { throw .accessRefused }
        let digest = SHA256.hash(data: Array(token.utf8))
        let grant: AccessGrant
        if let known = state.withLock({ $0.remembered.value(for: digest) }) {
            grant = known
        } else {
            let (keys, generation) = state.withLock { ($0.keys, $0.generation) }
            grant = try await verifySignature(of: token, with: keys)
            state.withLock { state in
                if state.generation == generation { state.remembered.insert(grant, for: digest) }
            }
        }
        guard grant.expiresAt > Int64(now.timeIntervalSince1970) else {
            state.withLock { $0.remembered.remove(digest) }
            throw .accessRefused
        }
        return grant
    }

    /// All but the expiry.
    private func verifySignature(of token: String, with keys: SigningKeys) async throws(AuthError) -> AccessGrant {
        let parts = token.split(separator: ".", maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count == 3,
            let (kid, collection) = Self.header(in: parts).flatMap({ keys.collections.index(forKey: $0.kid) })
                .map({ keys.collections[$0] })
        else { throw .accessRefused }
        verifications.add(1, ordering: .relaxed)
        guard let claims = try? await collection.verify(token, as: Claims.self), Self.holdsEachOnce(claimsIn: parts[1]),
            claims.iss == issuer, claims.aud == audience, let user = Int64(claims.sub), let device = Int64(claims.sid)
        else { throw .accessRefused }
        return AccessGrant(userID: user, deviceID: device, expiresAt: claims.exp, keyID: kid)
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
