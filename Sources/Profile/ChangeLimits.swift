// How often a user may change what others see: each change stands in the user's log for good, and a picture takes a thread
// of the mill for a good part of a second, for which everybody else's wait.
import ServiceKit

public struct ChangeLimits: Sendable {
    /// Of the profile and the settings.
    public var userLimit = RateLimit(120, per: .seconds(60))
    /// Pictures that are decoded, whatever comes of them. They count as changes, too.
    public var pictureLimit = RateLimit(5, per: .seconds(60))

    private let limiter: any RateLimiter

    public init(limiter: any RateLimiter = LocalRateLimiter()) {
        self.limiter = limiter
    }

    func take(for caller: Caller) async throws {
        try await limiter.take("change-user \(caller.userID)", userLimit)
    }

    func takePicture(for caller: Caller) async throws {
        try await take(for: caller)
        try await limiter.take("picture-user \(caller.userID)", pictureLimit)
    }
}
