// Buckets, the bounded cache, and the tokens by which services know each other.
import Foundation
import GRPCCore
import Synchronization
import Testing

@testable import ServiceKit

@Suite struct RateLimitTests {
    @Test func text__is_count_and_seconds() {
        #expect(RateLimit("10/300") == RateLimit(10, per: .seconds(300)))
        #expect(RateLimit("0")?.isUnlimited == true)
        for text in ["", "10", "/", "10/", "0/5", "-1/5", "1/0", "1/86401", "1/1/1", "a/b", "1 /2"] {
            #expect(RateLimit(text) == nil)
        }
    }

    @Test func bucket__gives_its_burst_and_fills_again_with_time() async throws {
        let now = Mutex(ContinuousClock.now)
        let limiter = LocalRateLimiter { now.withLock { $0 } }
        let limit = RateLimit(3, per: .seconds(30))
        for _ in 0..<3 { try await limiter.take("a", limit) }
        let refusal = await #expect(throws: RateLimitExceeded.self) { try await limiter.take("a", limit) }
        #expect(refusal.map { $0.retryAfter > .seconds(9) && $0.retryAfter <= .seconds(10) } == true)
        try await limiter.take("b", limit)
        now.withLock { $0 += .seconds(10) }
        try await limiter.take("a", limit)
        await #expect(throws: RateLimitExceeded.self) { try await limiter.take("a", limit) }
        await limiter.giveBack("a", limit)
        try await limiter.take("a", limit)
        now.withLock { $0 += .seconds(86_400) }
        for _ in 0..<3 { try await limiter.take("a", limit) }
        await #expect(throws: RateLimitExceeded.self) { try await limiter.take("a", limit) }
    }

    @Test func no_limit__never_refuses() async throws {
        let limiter = LocalRateLimiter()
        for _ in 0..<100 { try await limiter.take("a", RateLimit(0, per: .seconds(1))) }
    }
}

@Suite struct BoundedCacheTests {
    @Test func cache__keeps_its_bound_and_what_is_used() {
        var cache = BoundedCache<Int, Int>(capacity: 10)
        for key in 0..<1000 {
            cache.insert(key, for: key)
            #expect(cache.value(for: 0) == 0)
            #expect(cache.count <= 10)
        }
        #expect(cache.value(for: 999) == 999)
        #expect(cache.value(for: 500) == nil)
        cache.remove(999)
        #expect(cache.value(for: 999) == nil)
    }
}

@Suite struct PeerTests {
    @Test(arguments: [
        ("ipv4:203.0.113.9:4711", "203.0.113.9"), ("ipv6:[2001:db8::1]:4711", "2001:db8::1"), ("in-process:1", ""),
        ("", ""), ("ipv4:", ""), ("unix:/run/x", ""),
    ])
    func address__is_read_from_gRPCs_form(_ text: String, _ address: String) {
        #expect(Peer(remotePeer: text).address == address)
    }
}

@Suite struct ServiceSecretTests {
    private let secret = ServiceSecret(String(repeating: "s", count: 32))!
    private let method = "ringway.v1.AuthService/VerifyToken"

    @Test func secret__is_long_enough_or_none() {
        for text in ["", "short", String(repeating: "s", count: 31)] { #expect(ServiceSecret(text) == nil) }
    }

    @Test func token__opens_its_method_for_a_minute() {
        let now = Date(timeIntervalSince1970: 1_800_000_000)
        let token = secret.token(for: method, now: now)
        #expect(secret.isValid(token, for: method, now: now))
        #expect(secret.isValid(token, for: method, now: now + 59))
        #expect(!secret.isValid(token, for: method, now: now + 60))
        #expect(!secret.isValid(token, for: method, now: now - 31))
        #expect(!secret.isValid(token, for: "ringway.v1.FriendshipService/GetRelations", now: now))
        let stranger = ServiceSecret(String(repeating: "t", count: 32))!
        #expect(!stranger.isValid(token, for: method, now: now))
    }

    @Test func token__altered_or_made_up__opens_nothing() {
        let now = Date.now
        let good = secret.token(for: method, now: now)
        let parts = good.split(separator: ".")
        let none = Base64URL.encode(#"{"alg":"none","typ":"svc+jwt"}"#.utf8)
        for token in [
            "", ".", "..", "...", "a.b.c", "\(none).\(parts[1]).", "\(none).\(parts[1]).\(parts[2])",
            "\(parts[0]).\(parts[1]).", good + "A", good + ".", String(good.dropLast()),
            String(repeating: ".", count: 1_000_000), String(repeating: "A", count: 1_000_000),
        ] {
            #expect(!secret.isValid(token, for: method, now: now))
        }
    }
}
