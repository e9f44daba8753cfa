// The keys that access tokens are signed with. The first is made on the first start; all are kept in the database
// (Store+Keys.swift), so that every node verifies what any node has signed; the newest signs.
//
// What is here is ready for use and does not change; AccessTokens holds the keys of now.
import Contract
import Crypto
import Foundation
import Postgres
import ServiceKit

/// A pair of keys as it is stored.
struct SigningKey: Sendable {
    let kid: String
    /// PKCS#8, PEM.
    let privateKey: String
    /// Whether its time to sign has come. A new key is published for a while before.
    var signs = true

    /// A new one. Its id is the key's RFC 7638 thumbprint, so an id never names two keys. A key whose id begins with a
    /// dash is thrown away: a command line would take it for an option.
    init() {
        var key: P256.Signing.PrivateKey
        var id: String
        repeat {
            key = P256.Signing.PrivateKey()
            id = Self.thumbprint(of: key.publicKey)
        } while id.hasPrefix("-")
        (kid, privateKey) = (id, key.pemRepresentation)
    }

    private static func thumbprint(of key: P256.Signing.PublicKey) -> String {
        let coordinates = key.rawRepresentation
        let (x, y) = (Base64URL.encode(coordinates.prefix(32)), Base64URL.encode(coordinates.suffix(32)))
        let jwk = #"{"crv":"P-256","kty":"EC","x":"\#(x)","y":"\#(y)"}"#
        return Base64URL.encode(SHA256.hash(data: Array(jwk.utf8)))
    }

    init(kid: String, privateKey: String, signs: Bool = true) {
        self.kid = kid
        self.privateKey = privateKey
        self.signs = signs
    }

    /// As it is published (RFC 7518 section 6.2).
    func published(_ key: P256.Signing.PublicKey) -> Ringway_V1_PublicKey {
        let coordinates = key.rawRepresentation
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
    let signer: Signer
    /// Each by the header of the tokens that it has signed.
    private let verifiers: [[UInt8]: Verifier]

    struct Signer: Sendable {
        fileprivate let header: [UInt8]
        fileprivate let key: P256.Signing.PrivateKey

        /// A token with this part for its claims.
        func sign(_ part: String) throws -> String {
            let signed = header + [UInt8(ascii: ".")] + Array(part.utf8)
            let signature = try key.signature(for: signed).rawRepresentation
            return String(decoding: signed, as: UTF8.self) + "." + Base64URL.encode(signature)
        }
    }

    struct Verifier: Sendable {
        let kid: String
        fileprivate let key: P256.Signing.PublicKey

        func isValid(_ signature: [UInt8], for signed: ArraySlice<UInt8>) -> Bool {
            guard let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature) else { return false }
            return key.isValidSignature(signature, for: signed)
        }
    }

    /// Nil: no key of ours has signed under such a header.
    func verifier(of header: ArraySlice<UInt8>) -> Verifier? { verifiers[Array(header)] }

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

    /// Takes a key back: what it has signed counts no more, on every node as soon as it hears of it.
    public static func revoke(_ kid: String, in postgres: PostgresClient) async throws -> KeyRevocation {
        try await AuthStore(postgres: postgres).revokeKey(kid)
    }

    /// The newest first, those that were revoked last.
    public static func list(from postgres: PostgresClient) async throws -> [KeyRecord] {
        try await AuthStore(postgres: postgres).keyRecords()
    }

    /// - Parameter keys: at least one, the newest first.
    init(_ keys: [SigningKey]) throws {
        precondition(!keys.isEmpty, "there is nothing to sign with")
        var verifiers: [[UInt8]: Verifier] = [:]
        var published: [Ringway_V1_PublicKey] = []
        for key in keys {
            let publicKey = try P256.Signing.PrivateKey(pemRepresentation: key.privateKey).publicKey
            verifiers[AccessTokenForm.header(kid: key.kid)] = Verifier(kid: key.kid, key: publicKey)
            published.append(key.published(publicKey))
        }
        (self.verifiers, self.published) = (verifiers, published)
        signer = Signer(
            header: AccessTokenForm.header(kid: keys.signer.kid),
            key: try .init(pemRepresentation: keys.signer.privateKey))
    }
}

extension [SigningKey] {
    /// Of those there are, the newest first: the newest whose time has come.
    var signer: SigningKey { first(where: \.signs) ?? self[count - 1] }
}

/// What an operator is told of a key.
public struct KeyRecord: Sendable, Equatable {
    public enum State: String, Sendable {
        /// Published, and signs from its time on.
        case waits
        case signs
        /// Signs no more. What it has signed counts.
        case verifies
        /// What it has signed counts no more.
        case revoked
    }

    public let kid: String
    public let state: State
    /// From when on it signs or has signed, or when it was revoked.
    public let since: Date
}

public enum KeyRevocation: Sendable, Equatable {
    /// - Parameter successor: the key that signs from now on, if it was the one that did.
    case revoked(successor: String?)
    case alreadyRevoked
    case unknown
}
