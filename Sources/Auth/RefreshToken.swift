// Refresh tokens: 256 random bits in base64url. The token itself exists in the answer and at the client only; here and
// in the database there is its SHA-256, which needs no salt because there is nothing to guess. Tokens are found by that
// digest, so no secret is ever compared byte by byte.
import Crypto
import Foundation
import ServiceKit

struct RefreshToken: Sendable {
    private static let length = 43

    let text: String

    /// A new one.
    init() {
        text = SymmetricKey(size: .bits256).withUnsafeBytes { Base64URL.encode($0) }
    }

    /// One that a client brings. Anything of another length is none, and is not hashed.
    init(_ text: String) throws(AuthError) {
        guard text.utf8.count == Self.length else { throw .refreshRefused }
        self.text = text
    }

    /// The token that follows this one, under the salt of its rotation: the same for whoever brings this token.
    func successor(salt: [UInt8]) -> RefreshToken {
        let code = HMAC<SHA256>.authenticationCode(for: Data(text.utf8), using: SymmetricKey(data: salt))
        return RefreshToken(trusted: Base64URL.encode(code))
    }

    private init(trusted text: String) {
        self.text = text
    }

    var digest: [UInt8] { Array(SHA256.hash(data: Array(text.utf8))) }
}
