// An access token as bytes: a JWS of three parts (RFC 7515 section 7.1), whose header and claims each have one spelling,
// that which is written here. No other is read, so nothing that a header or a JSON text may say elsewhere means anything:
// no other algorithm, no `crit`, `jku`, `jwk` or `x5u`, no member twice (docs/decisions/0022-token-form.md). No I/O, no keys.
import Foundation
import ServiceKit

enum AccessTokenForm {
    /// Ours take about 400 bytes. What is longer is not read at all.
    static let bytesMax = 4096

    /// The first part of what a key signs.
    static func header(kid: String) -> [UInt8] {
        Array(Base64URL.encode(#"{"alg":"ES256","kid":"\#(kid)","typ":"at+jwt"}"#.utf8).utf8)
    }

    /// A token in its parts.
    struct Parts {
        let header: ArraySlice<UInt8>
        let claims: ArraySlice<UInt8>
        /// Header and claims, which are signed as they are written.
        let signed: ArraySlice<UInt8>
        /// R and S (RFC 7518 section 3.4), of 32 bytes each.
        let signature: [UInt8]

        init?(_ token: [UInt8]) {
            let dot = UInt8(ascii: ".")
            guard let first = token.firstIndex(of: dot), let last = token.lastIndex(of: dot), first < last,
                let signature = Base64URL.decode(token[(last + 1)...]), signature.count == 64
            else { return nil }
            (header, claims) = (token[..<first], token[(first + 1)..<last])
            (signed, self.signature) = (token[..<last], signature)
        }
    }

    /// What a token says beside the names of its issuer and its audience.
    struct Claims: Equatable {
        let user: Int64
        let device: Int64
        /// Unix time in seconds.
        let issuedAt: Int64
        let expiresAt: Int64
    }

    /// The claims of one issuer for one audience.
    struct ClaimsForm {
        private let start: [UInt8]

        init(issuer: String, audience: String) {
            // Texts always encode.
            let names = [issuer, audience].map { (try? JSONEncoder().encode($0)) ?? Data() }
            start = Array(#"{"iss":"#.utf8) + names[0] + Array(#","aud":"#.utf8) + names[1] + Array(#","sub":""#.utf8)
        }

        func part(_ claims: Claims) -> String {
            let rest = #"\#(claims.user)","sid":"\#(claims.device)","iat":\#(claims.issuedAt),"exp":\#(claims.expiresAt)}"#
            return Base64URL.encode(start + Array(rest.utf8))
        }

        /// Nil for everything that `part` would not have written.
        func claims(_ part: ArraySlice<UInt8>) -> Claims? {
            guard let json = Base64URL.decode(part) else { return nil }
            var text = Reader(rest: json[...])
            guard text.skip(start), let user = text.number(), text.skip(#"","sid":""#.utf8), let device = text.number(),
                text.skip(#"","iat":"#.utf8), let issuedAt = text.number(), text.skip(#","exp":"#.utf8),
                let expiresAt = text.number(), text.skip("}".utf8), text.rest.isEmpty
            else { return nil }
            return Claims(user: user, device: device, issuedAt: issuedAt, expiresAt: expiresAt)
        }
    }

    private struct Reader {
        var rest: ArraySlice<UInt8>

        mutating func skip(_ text: some Collection<UInt8>) -> Bool {
            guard rest.starts(with: text) else { return false }
            rest = rest.dropFirst(text.count)
            return true
        }

        /// In decimal, without a sign and without zeros before it.
        mutating func number() -> Int64? {
            let digits = rest.prefix { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
            guard let number = Int64(String(decoding: digits.prefix(20), as: UTF8.self)),
                digits.count == 1 || digits.first != UInt8(ascii: "0")
            else { return nil }
            rest = rest.dropFirst(digits.count)
            return number
        }
    }
}
