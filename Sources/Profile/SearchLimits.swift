// How often profiles may be searched, by a user and from an address, and for how long: a search looks at up to a thousand
// users, and one that never ends would list them all.
import ServiceKit

public struct SearchLimits: Sendable {
    public var userLimit = RateLimit(60, per: .seconds(60))
    /// Many users may share an address.
    public var addressLimit = RateLimit(600, per: .seconds(60))
    /// How long Postgres may look for nicknames. A search that finds few takes a millisecond.
    public var patience: Duration = .milliseconds(500)

    private let limiter: any RateLimiter

    public init(limiter: any RateLimiter = LocalRateLimiter()) {
        self.limiter = limiter
    }

    func take(for caller: Caller) async throws {
        try await limiter.take("search-user \(caller.userID)", userLimit)
        try await limiter.takeForAddress("search-address", addressLimit)
    }
}
