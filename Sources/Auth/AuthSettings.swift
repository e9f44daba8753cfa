// What an operator may choose about log-ins.
import Foundation

public struct AuthSettings: Sendable {
    /// Who makes the access tokens, and for whom: the claims `iss` and `aud`. All nodes agree on them.
    public var issuer = "ringway"
    public var audience = "ringway"
    public var accessTokenLifetime: Duration = .seconds(10 * 60)
    public var refreshTokenLifetime: Duration = .seconds(30 * 24 * 60 * 60)
    /// Passwords hashed at a time. Each takes a core for some 50 ms and 19 MiB.
    public var hasherThreads = ProcessInfo.processInfo.activeProcessorCount
    /// Passwords that may wait for a thread; one more is told when to come back.
    public var hasherQueue = 64

    public init() {}
}
