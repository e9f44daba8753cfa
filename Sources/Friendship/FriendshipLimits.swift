// How often a user may ask for friendship, whomever and one and the same, and change what stands between them and others:
// each stands in a log, so that whoever may go on without end could fill it.
import ServiceKit

public struct FriendshipLimits: Sendable {
    /// Requests by a user.
    public var requestLimit = RateLimit(60, per: .seconds(60))
    /// Requests by a user of one and the same other, whether that one exists or not.
    public var targetLimit = RateLimit(10, per: .seconds(3600))
    /// Answers, and changes of friends, groups and blocks, by a user.
    public var changeLimit = RateLimit(300, per: .seconds(60))

    private let limiter: any RateLimiter

    public init(limiter: any RateLimiter = LocalRateLimiter()) {
        self.limiter = limiter
    }

    func take(for proposal: Proposal) async throws {
        try await limiter.take("request-user \(proposal.sender)", requestLimit)
        try await limiter.take("request-target \(proposal.sender) \(proposal.recipient)", targetLimit)
    }

    func takeChange(by caller: Caller) async throws {
        try await limiter.take("relation-user \(caller.userID)", changeLimit)
    }
}
