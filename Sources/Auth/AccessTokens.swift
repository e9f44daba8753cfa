// Access tokens: JWTs (RFC 9068's type; AccessTokenForm.swift) signed with ES256, by keys that every node has
// (SigningKeys.swift). A check that is not remembered costs little more than its signature's.
//
// What has been verified is remembered until it expires, by the token's digest, so that a device's next request costs a
// hash instead of a curve, and no longer than its key is one of the keys. Keys and memory belong to a mutex; any thread may
// ask.
import Contract
import Crypto
import Foundation
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
    private static let rememberedMax = 65_536

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
    private let form: AccessTokenForm.ClaimsForm
    let lifetime: Duration

    init(keys: SigningKeys, settings: AuthSettings) {
        state = Mutex(State(keys: keys))
        form = .init(issuer: settings.issuer, audience: settings.audience)
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

    func issue(user: Int64, device: Int64, now: Date = .now) throws -> String {
        let issuedAt = Int64(now.timeIntervalSince1970)
        let claims = form.part(
            .init(user: user, device: device, issuedAt: issuedAt, expiresAt: issuedAt + lifetime.components.seconds))
        return try state.withLock { $0.keys.signer }.sign(claims)
    }

    func verify(_ token: String, now: Date = .now) throws(AuthError) -> AccessGrant {
        guard token.utf8.count <= AccessTokenForm.bytesMax else { throw .accessRefused }
        let bytes = Array(token.utf8)
        let digest = SHA256.hash(data: bytes)
        let grant: AccessGrant
        if let known = state.withLock({ $0.remembered.value(for: digest) }) {
            grant = known
        } else {
            let (keys, generation) = state.withLock { ($0.keys, $0.generation) }
            grant = try verifySignature(of: bytes, with: keys)
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
    private func verifySignature(of token: [UInt8], with keys: SigningKeys) throws(AuthError) -> AccessGrant {
        guard let parts = AccessTokenForm.Parts(token), let key = keys.verifier(of: parts.header) else {
            throw .accessRefused
        }
        verifications.add(1, ordering: .relaxed)
        guard key.isValid(parts.signature, for: parts.signed), let claims = form.claims(parts.claims) else {
            throw .accessRefused
        }
        return AccessGrant(
            userID: claims.user, deviceID: claims.device, expiresAt: claims.expiresAt, keyID: key.kid)
    }
}
