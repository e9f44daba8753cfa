// How often something may be done: token buckets behind a protocol, so that one process or a shared store can hold them.
import GRPCCore
import Synchronization

/// `burst` at once, and as many again every `window`; written "10/300": ten in 300 seconds.
public struct RateLimit: Sendable, Equatable {
    public let burst: Int
    public let window: Duration

    public init(_ burst: Int, per window: Duration) {
        precondition(burst >= 0 && window > .zero)
        self.burst = burst
        self.window = window
    }

    /// "0" is no limit. Nil for what is not of this form.
    public init?(_ text: String) {
        if text == "0" {
            self.init(0, per: .seconds(1))
            return
        }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let burst = Int(parts[0]), let seconds = Int(parts[1]), 1...1_000_000 ~= burst,
            1...86_400 ~= seconds
        else { return nil }
        self.init(burst, per: .seconds(seconds))
    }

    public var isUnlimited: Bool { burst == 0 }
}

public struct RateLimitExceeded: Error, RPCErrorConvertible {
    public let retryAfter: Duration

    public init(retryAfter: Duration) {
        self.retryAfter = retryAfter
    }

    public var rpcErrorCode: RPCError.Code { .resourceExhausted }
    public var rpcErrorMessage: String { "too many requests; try again later" }
    public var rpcErrorMetadata: Metadata { .retry(after: retryAfter) }
}

public protocol RateLimiter: Sendable {
    /// Takes one from the bucket of `key`. Throws RateLimitExceeded, and takes nothing, when it is empty.
    func take(_ key: String, _ limit: RateLimit) async throws
    /// Gives one back: what it was taken for turned out to be harmless.
    func giveBack(_ key: String, _ limit: RateLimit) async
}

extension RateLimiter {
    /// Takes one for the address that the call comes from. Who reaches the loopback, or has no address, is of this machine.
    public func takeForAddress(_ purpose: String, _ limit: RateLimit) async throws {
        let peer = Peer.current
        guard !peer.network.isEmpty, !peer.isLoopback else { return }
        try await take("\(purpose) \(peer.network)", limit)
    }
}

/// Buckets of this process. At the bound those unused for longest are forgotten: they are the fullest.
public final class LocalRateLimiter: RateLimiter {
    private struct Bucket {
        var tokens: Double
        var at: ContinuousClock.Instant
    }

    private let buckets: Mutex<BoundedCache<String, Bucket>>
    private let now: @Sendable () -> ContinuousClock.Instant

    public init(
        bucketsMax: Int = 200_000, now: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }
    ) {
        buckets = Mutex(BoundedCache(capacity: bucketsMax))
        self.now = now
    }

    public func take(_ key: String, _ limit: RateLimit) async throws {
        if limit.isUnlimited { return }
        let refusal: RateLimitExceeded? = buckets.withLock { buckets in
            var bucket = Self.filled(buckets.value(for: key), limit, now())
            let missing = 1 - bucket.tokens
            if missing <= 0 { bucket.tokens -= 1 }
            buckets.insert(bucket, for: key)
            return missing > 0 ? RateLimitExceeded(retryAfter: limit.window * missing / Double(limit.burst)) : nil
        }
        if let refusal { throw refusal }
    }

    public func giveBack(_ key: String, _ limit: RateLimit) async {
        if limit.isUnlimited { return }
        buckets.withLock { buckets in
            var bucket = Self.filled(buckets.value(for: key), limit, now())
            bucket.tokens = min(Double(limit.burst), bucket.tokens + 1)
            buckets.insert(bucket, for: key)
        }
    }

    private static func filled(_ bucket: Bucket?, _ limit: RateLimit, _ now: ContinuousClock.Instant) -> Bucket {
        guard let bucket else { return Bucket(tokens: Double(limit.burst), at: now) }
        let gained = (now - bucket.at) / limit.window * Double(limit.burst)
        return Bucket(tokens: min(Double(limit.burst), bucket.tokens + max(0, gained)), at: now)
    }
}
