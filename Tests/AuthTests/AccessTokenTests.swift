// Access tokens: a good one says who it is for, and every other one is refused in the same way.
import Crypto
import Foundation
import ServiceKit
import Testing

@testable import Auth

@Suite struct AccessTokenTests {
    private let key = SigningKey()

    private func tokens(_ change: (inout AuthSettings) -> Void = { _ in }) throws -> AccessTokens {
        var settings = AuthSettings()
        change(&settings)
        return AccessTokens(keys: try SigningKeys([key]), settings: settings)
    }

    /// A token of this header and these claims, signed with `key` unless told otherwise.
    private func forge(header: String? = nil, claims: String? = nil, with pem: String? = nil) throws -> String {
        let now = Int(Date.now.timeIntervalSince1970)
        let header = header ?? #"{"alg":"ES256","kid":"\#(key.kid)","typ":"at+jwt"}"#
        let claims =
            claims ?? #"{"iss":"ringway","aud":"ringway","sub":"7","sid":"8","iat":\#(now),"exp":\#(now + 60)}"#
        let input = "\(Base64URL.encode(header.utf8)).\(Base64URL.encode(claims.utf8))"
        let signer = try P256.Signing.PrivateKey(pemRepresentation: pem ?? key.privateKey)
        return "\(input).\(Base64URL.encode(try signer.signature(for: Data(input.utf8)).rawRepresentation))"
    }

    @Test func key__has_an_id_that_no_command_line_takes_for_an_option() {
        // One in 64 would begin with a dash if nothing saw to it.
        for _ in 0..<2_000 { #expect(SigningKey().kid.first != "-") }
    }

    @Test func good__names_the_user_the_device_and_its_end() async throws {
        let tokens = try tokens()
        let now = Date(timeIntervalSince1970: 1_800_000_000.7)
        let token = try tokens.issue(user: 7, device: 8, now: now)
        #expect(token.utf8.count < 512)
        let grant = try tokens.verify(token, now: now)
        #expect(grant == AccessGrant(userID: 7, deviceID: 8, expiresAt: 1_800_000_600, keyID: key.kid))
    }

    @Test func good__carries_the_claims_of_RFC_9068() async throws {
        let token = try tokens().issue(user: 7, device: 8)
        let parts = token.split(separator: ".")
        let headerBytes = try #require(Base64URL.decode(parts[0].utf8))
        let header = try #require(try JSONSerialization.jsonObject(with: Data(headerBytes)) as? [String: String])
        #expect(header == ["alg": "ES256", "kid": key.kid, "typ": "at+jwt"])
        let claimBytes = try #require(Base64URL.decode(parts[1].utf8))
        let claims = try #require(try JSONSerialization.jsonObject(with: Data(claimBytes)) as? [String: Any])
        #expect(Set(claims.keys) == ["iss", "aud", "sub", "sid", "iat", "exp"])
        #expect(claims["sub"] as? String == "7")
        #expect(claims["sid"] as? String == "8")
    }

    @Test func forged_with_the_right_key__is_good() async throws {
        // So that the refusals below have no other reason than theirs.
        #expect(try tokens().verify(forge()).userID == 7)
    }

    @Test func expired__is_refused_from_the_second_it_says() async throws {
        let tokens = try tokens()
        let now = Date(timeIntervalSince1970: 1_800_000_000)
        let token = try tokens.issue(user: 7, device: 8, now: now)
        #expect(try tokens.verify(token, now: now + 599).userID == 7)
        for age in [600.0, 601, 1e6] {
            #expect(throws: AuthError.accessRefused) { try tokens.verify(token, now: now + age) }
        }
    }

    @Test func second_look__verifies_no_signature_again() async throws {
        let tokens = try tokens()
        let (one, other) = (try tokens.issue(user: 7, device: 8), try tokens.issue(user: 9, device: 10))
        #expect(tokens.verificationCount == 0)
        for _ in 0..<5 { #expect(try tokens.verify(one).userID == 7) }
        #expect(tokens.verificationCount == 1)
        for _ in 0..<5 { #expect(try tokens.verify(other).userID == 9) }
        #expect(tokens.verificationCount == 2)
        #expect(try tokens.verify(one).userID == 7)
        #expect(tokens.verificationCount == 2)
        // What other keys had signed is not remembered.
        tokens.use(try SigningKeys([key, SigningKey()]))
        #expect(try tokens.verify(one).userID == 7)
        #expect(tokens.verificationCount == 3)
    }

    @Test func token_that_can_t_be_ours__costs_no_verification() async throws {
        let tokens = try tokens()
        for token in ["", "a.b.c", String(repeating: ".", count: 4096), String(repeating: "a", count: 100_000)] {
            #expect(throws: AuthError.accessRefused) { try tokens.verify(token) }
        }
        #expect(tokens.verificationCount == 0)
    }

    @Test func another_issuer_audience_or_key__is_refused() async throws {
        let token = try tokens().issue(user: 7, device: 8)
        for stranger in [
            try tokens { $0.issuer = "elsewhere" }, try tokens { $0.audience = "elsewhere" },
            AccessTokens(keys: try SigningKeys([SigningKey()]), settings: AuthSettings()),
        ] {
            #expect(throws: AuthError.accessRefused) { try stranger.verify(token) }
        }
    }

    @Test func older_key__still_verifies_and_the_newest_signs() async throws {
        let newer = SigningKey()
        let both = AccessTokens(keys: try SigningKeys([newer, key]), settings: AuthSettings())
        #expect(try both.verify(tokens().issue(user: 7, device: 8)).userID == 7)
        let fresh = try both.issue(user: 7, device: 8)
        #expect(try both.verify(fresh).userID == 7)
        #expect(throws: AuthError.accessRefused) { try tokens().verify(fresh) }
        // A known id does not lend its name to another known key.
        let swapped = try forge(with: newer.privateKey)
        #expect(throws: AuthError.accessRefused) { try both.verify(swapped) }
    }

    @Test func header__must_be_exactly_ours() async throws {
        let tokens = try tokens()
        let kid = key.kid
        for header in [
            #"{"alg":"none","kid":"\#(kid)","typ":"at+jwt"}"#, #"{"alg":"None","kid":"\#(kid)","typ":"at+jwt"}"#,
            #"{"alg":"HS256","kid":"\#(kid)","typ":"at+jwt"}"#, #"{"alg":"ES384","kid":"\#(kid)","typ":"at+jwt"}"#,
            #"{"alg":"es256","kid":"\#(kid)","typ":"at+jwt"}"#, #"{"kid":"\#(kid)","typ":"at+jwt"}"#,
            #"{"alg":"ES256","typ":"at+jwt"}"#, #"{"alg":"ES256","kid":"","typ":"at+jwt"}"#,
            #"{"alg":"ES256","kid":"unknown","typ":"at+jwt"}"#, #"{"alg":"ES256","kid":null,"typ":"at+jwt"}"#,
            #"{"alg":"ES256","kid":"../../dev/null","typ":"at+jwt"}"#, #"{"alg":"ES256","kid":1e300,"typ":"at+jwt"}"#,
            #"{"alg":"ES256","kid":"\#(kid)"}"#, #"{"alg":"ES256","kid":"\#(kid)","typ":"JWT"}"#,
            #"["ES256"]"#, "null", "", "{", String(repeating: "[", count: 2000),
        ] {
            let token = try forge(header: header)
            #expect(throws: AuthError.accessRefused, "\(header)") { try tokens.verify(token) }
        }
    }

    @Test func header__with_anything_more__is_refused_although_it_is_signed() async throws {
        let good = #""alg":"ES256","kid":"\#(key.kid)","typ":"at+jwt""#
        _ = try tokens().verify(forge(header: "{\(good)}"))
        for more in [
            #""x":1e300"#, #""crit":["exp"]"#, #""crit":[]"#, #""b64":false"#, #""jku":"http://127.0.0.1:1/keys""#,
            #""jwk":{"kty":"EC"}"#, #""x5u":"http://127.0.0.1:1/cert""#, #""alg":"ES256""#, #""alg":"none""#,
            #""kid":"other""#, #""typ":"JWT""#,
        ] {
            for header in ["{\(good),\(more)}", "{\(more),\(good)}"] {
                let token = try forge(header: header)
                #expect(throws: AuthError.accessRefused, "\(header)") { try tokens().verify(token) }
            }
        }
        let spaced = try forge(header: "{ \(good)}")
        #expect(throws: AuthError.accessRefused) { try tokens().verify(spaced) }
    }

    @Test(arguments: ["../../etc/passwd", "' OR 1=1 --", "http://127.0.0.1/", "\u{0}", String(repeating: "k", count: 2000)])
    func kid__is_only_looked_up(_ kid: String) async throws {
        let json = try JSONEncoder().encode(["alg": "ES256", "kid": kid, "typ": "at+jwt"])
        let token = try forge(header: String(decoding: json, as: UTF8.self))
        #expect(throws: AuthError.accessRefused) { try tokens().verify(token) }
    }

    @Test func claims__of_another_spelling_are_refused() throws {
        let now = Int(Date.now.timeIntervalSince1970)
        let end = now + 60
        func claims(sub: String = #""7""#, sid: String = #""8""#, end: String) -> String {
            #"{"iss":"ringway","aud":"ringway","sub":\#(sub),"sid":\#(sid),"iat":\#(now),"exp":\#(end)}"#
        }
        #expect(try tokens().verify(forge(claims: claims(end: "\(end)"))).deviceID == 8)
        let ends = [
            "\"\(end)\"", "-1", "+\(end)", "1e308", "\(end).5", "null", "true", "", "0\(end)", "9223372036854775808",
            String(repeating: "9", count: 1000), "1,\"exp\":\(end)", "\(end),\"exp\":1", "\(end),\"sid\":\"9\"",
            "\(end),\"nbf\":1", "\(end)}", " \(end)", "\(end) ",
        ]
        let ids = ["7", "null", "\"\"", "\"-7\"", "\"07\"", "\"7 \"", "\"9223372036854775808\"", "\"\\u0037\"", "[\"7\"]"]
        let good = claims(end: "\(end)")
        let swapped = good.replacing(#""sub":"7","sid":"8""#, with: #""sid":"8","sub":"7""#)
        let bad =
            ends.map { claims(end: $0) } + ids.map { claims(sub: $0, end: "\(end)") } + ids.map { claims(sid: $0, end: "\(end)") }
            + [swapped, String(good.dropLast()), good + "}", good + " ", " " + good]
        for claims in bad {
            let token = try forge(claims: claims)
            #expect(throws: AuthError.accessRefused, "\(claims)") { try tokens().verify(token) }
        }
    }

    @Test func claims__of_any_issuer_and_audience_are_read_as_they_are_written() throws {
        for name in ["", "\"", "\\", #"","aud":""#, "Ringwäy ✓", "https://ringway.example/?a=b&c"] {
            let ours = try tokens { ($0.issuer, $0.audience) = (name, "x\(name)") }
            let token = try ours.issue(user: .max, device: 0)
            let grant = try ours.verify(token)
            #expect((grant.userID, grant.deviceID) == (.max, 0))
            let part = try #require(Base64URL.decode(token.split(separator: ".")[1].utf8))
            let claims = try #require(try JSONSerialization.jsonObject(with: Data(part)) as? [String: Any])
            #expect(claims["iss"] as? String == name && claims["aud"] as? String == "x\(name)")
            #expect(throws: AuthError.accessRefused) { try tokens().verify(token) }
        }
    }

    @Test func signature__of_nothing_is_none() async throws {
        let good = try forge().split(separator: ".").dropLast().joined(separator: ".")
        let zero = [UInt8](repeating: 0, count: 64)
        for bytes in [zero, [UInt8](repeating: 0xff, count: 64), zero.dropLast() + [1]] {
            let token = "\(good).\(Base64URL.encode(bytes))"
            #expect(throws: AuthError.accessRefused) { try tokens().verify(token) }
        }
    }

    @Test func remembered__is_not_believed_longer_and_not_after_its_key_is_gone() async throws {
        let tokens = try tokens()
        let now = Date(timeIntervalSince1970: 1_800_000_000)
        let token = try tokens.issue(user: 7, device: 8, now: now)
        for _ in 0..<3 { #expect(try tokens.verify(token, now: now).deviceID == 8) }
        #expect(throws: AuthError.accessRefused) { try tokens.verify(token, now: now + 600) }
        _ = try tokens.verify(token, now: now)
        tokens.use(try SigningKeys([SigningKey()]))
        #expect(throws: AuthError.accessRefused) { try tokens.verify(token, now: now) }
    }

    @Test func keys_that_change_during_a_check__leave_nothing_of_theirs_remembered() async throws {
        let (ours, others) = (try SigningKeys([key]), try SigningKeys([SigningKey()]))
        let tokens = AccessTokens(keys: ours, settings: AuthSettings())
        for round in 0..<300 {
            let token = try tokens.issue(user: 7, device: Int64(round))
            async let checked = try? tokens.verify(token)
            for _ in 0..<(round % 50) * 100 { _ = tokens.publishedKeys.count }
            tokens.use(others)
            _ = await checked
            #expect(throws: AuthError.accessRefused) { try tokens.verify(token) }
            tokens.use(ours)
        }
    }

    @Test func load_that_began_earlier__does_not_bring_back_what_a_later_one_found_gone() async throws {
        let (old, new) = (try SigningKeys([key]), try SigningKeys([SigningKey()]))
        let tokens = AccessTokens(keys: old, settings: AuthSettings())
        try await tokens.reload {
            try await tokens.reload { new }
            return old
        }
        #expect(tokens.publishedKeys == new.published)
        // One that fails takes nothing away.
        await #expect(throws: CancellationError.self) { try await tokens.reload { throw CancellationError() } }
        #expect(tokens.publishedKeys == new.published)
    }

    @Test func key_that_does_not_sign_yet__verifies_and_is_published() async throws {
        let next = SigningKey()
        let waiting = SigningKey(kid: next.kid, privateKey: next.privateKey, signs: false)
        let keys = try SigningKeys([waiting, key])
        #expect(keys.published.map(\.kid) == [next.kid, key.kid])
        let both = AccessTokens(keys: keys, settings: AuthSettings())
        _ = try self.tokens().verify(both.issue(user: 7, device: 8))
        let early = try forge(header: #"{"alg":"ES256","kid":"\#(next.kid)","typ":"at+jwt"}"#, with: next.privateKey)
        #expect(try both.verify(early).userID == 7)
        let published = try #require(keys.published.first)
        #expect([published.kty, published.crv, published.alg, published.use] == ["EC", "P-256", "ES256", "sig"])
        let point = try #require(Base64URL.decode(published.x.utf8)) + #require(Base64URL.decode(published.y.utf8))
        let publicKey = try P256.Signing.PrivateKey(pemRepresentation: next.privateKey).publicKey
        #expect(Data(point) == publicKey.rawRepresentation)
    }

    @Test func verification__costs_little_the_first_time_and_less_the_next() async throws {
        let tokens = try tokens()
        var all: [String] = []
        for device in 1...200 { all.append(try tokens.issue(user: 7, device: Int64(device))) }
        func perToken() throws -> Duration {
            let start = ContinuousClock.now
            for token in all { _ = try tokens.verify(token) }
            return (ContinuousClock.now - start) / all.count
        }
        let first = try perToken()
        var next = try perToken()
        // The least of several: what else the machine does is no cost of ours.
        for _ in 0..<4 { next = try min(next, perToken()) }
        print("verify: \(first) a new token, \(next) a known one")
        #expect(next < first / 2)
    }

    @Test func unsigned_or_signed_with_the_public_key_as_a_secret__is_refused() async throws {
        let tokens = try tokens()
        let publicKey = try P256.Signing.PrivateKey(pemRepresentation: key.privateKey).publicKey
        let claims = try #require(try forge().split(separator: ".").dropFirst().first)
        let none = Base64URL.encode(#"{"alg":"none","kid":"\#(key.kid)","typ":"at+jwt"}"#.utf8)
        let hmac = Base64URL.encode(#"{"alg":"HS256","kid":"\#(key.kid)","typ":"at+jwt"}"#.utf8)
        let macs = [Data(publicKey.pemRepresentation.utf8), publicKey.derRepresentation, publicKey.x963Representation]
            .map { HMAC<SHA256>.authenticationCode(for: Data("\(hmac).\(claims)".utf8), using: SymmetricKey(data: $0)) }
        let signed = macs.map { "\(hmac).\(claims).\(Base64URL.encode($0))" }
        for token in ["\(none).\(claims).", "\(none).\(claims)"] + signed {
            #expect(throws: AuthError.accessRefused) { try tokens.verify(token) }
        }
    }

    @Test func claims__must_all_be_there() async throws {
        let tokens = try tokens()
        let exp = Int(Date.now.timeIntervalSince1970) + 60
        for claims in [
            #"{"aud":"ringway","sub":"7","sid":"8","iat":1,"exp":\#(exp)}"#,
            #"{"iss":"ringway","sub":"7","sid":"8","iat":1,"exp":\#(exp)}"#,
            #"{"iss":"ringway","aud":"ringway","sid":"8","iat":1,"exp":\#(exp)}"#,
            #"{"iss":"ringway","aud":"ringway","sub":"7","iat":1,"exp":\#(exp)}"#,
            #"{"iss":"ringway","aud":"ringway","sub":"7","sid":"8","exp":\#(exp)}"#,
            #"{"iss":"ringway","aud":"ringway","sub":"7","sid":"8","iat":1}"#,
            #"{"iss":"ringway","aud":"ringway","sub":"7","sid":"8","iat":1,"exp":1e300}"#,
            #"{"iss":"ringway","aud":"ringway","sub":"ada","sid":"8","iat":1,"exp":\#(exp)}"#,
            #"{"iss":"ringway","aud":["ringway","x"],"sub":"7","sid":"8","iat":1,"exp":\#(exp)}"#,
            "{}", "null", "", "not JSON",
        ] {
            let token = try forge(claims: claims)
            #expect(throws: AuthError.accessRefused, "\(claims)") { try tokens.verify(token) }
        }
    }

    @Test func altered_anywhere__is_refused() async throws {
        let tokens = try tokens()
        let token = Array(try tokens.issue(user: 7, device: 8).utf8)
        for index in token.indices {
            var altered = token
            altered[index] = token[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            let text = String(decoding: altered, as: UTF8.self)
            #expect(throws: AuthError.accessRefused, "at \(index)") { try tokens.verify(text) }
        }
    }

    @Test func signature__has_one_spelling() async throws {
        let tokens = try tokens()
        let token = try tokens.issue(user: 7, device: 8)
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
        // The last of 86 characters carries two bits; fifteen other characters would read as the same ones.
        for last in alphabet where last != token.last {
            let text = token.dropLast() + String(last)
            #expect(throws: AuthError.accessRefused) { try tokens.verify(String(text)) }
        }
        for suffix in ["=", "==", " ", "\n", "."] {
            #expect(throws: AuthError.accessRefused) { try tokens.verify(token + suffix) }
        }
    }

    @Test func junk__is_refused_whatever_its_size() async throws {
        let tokens = try tokens()
        let good = try tokens.issue(user: 7, device: 8)
        for junk in [
            "", ".", "..", "...", "a.b.c", "é.é.é", "\0", good + good, "Bearer \(good)", RefreshToken().text,
            String(repeating: ".", count: 4096), String(repeating: ".", count: 1_000_000), String(repeating: "A", count: 4097),
            String(repeating: "A", count: 1 << 24), good + String(repeating: "A", count: 4096),
        ] {
            let start = ContinuousClock.now
            #expect(throws: AuthError.accessRefused) { try tokens.verify(junk) }
            #expect(ContinuousClock.now - start < .milliseconds(200))
        }
    }
}
