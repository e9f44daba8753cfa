// How often a user may ask for friendship, whomever and one and the same: a request, and its withdrawal, stand in the log of
// who is asked, so that whoever may ask without end could fill it.
import ServiceKit

public struct RequestLimits: Sendable {
    /// By a user.
    public var userLimit = RateLimit(60, per: .seconds(60))
    /// By a user of one and the same other, whether that one exists or not.
    public var targetLimit = RateLimit(10, per: .seconds(3600))

    private let limiter: any RateLimiter

    public init(limiter: any RateLimiter = LocalRateLimiter()) {
        self.limiter = limiter
    }

    func take(for proposal: Proposal) async throws {
        try await limiter.take("request-user \(proposal.sender)", userLimit)
        try await limiter.take("request-target \(proposal.sender) \(proposal.recipient)", targetLimit)
    }
}
