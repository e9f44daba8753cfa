// What an operator may choose about accounts and log-ins. docs/security.md says what each default is for.
import Foundation
import ServiceKit

public struct AuthSettings: Sendable {
    /// Who makes the access tokens, and for whom: the claims `iss` and `aud`. All nodes agree on them.
    public var issuer = "ringway"
    public var audience = "ringway"
    /// Whom users would take for the operator. "usual" is always known.
    public var reservedUsernames = ReservedUsernames(["usual"])!
    /// At most ten minutes.
    public var accessTokenLifetime: Duration = .seconds(10 * 60)
    public var refreshTokenLifetime: Duration = .seconds(30 * 24 * 60 * 60)
    /// For how long a used refresh token brings its answer again, should it have been lost.
    public var refreshGrace: Duration = .seconds(30)
    /// Devices a user may be logged in on; one more ends the one that was seen least recently.
    public var devicesMax = 32
    /// From the wish to delete an account to its end.
    public var deletionGrace: Duration = .seconds(14 * 24 * 60 * 60)
    /// How often a node looks for new signing keys, and for accounts whose end has come.
    public var maintenanceInterval: Duration = .seconds(30)
    /// How long a device that was active is taken for active. What ends on another node ends here within it.
    public var activityMemory: Duration = .seconds(1)

    /// Passwords hashed at a time. Each takes a core for some 20 ms and `hashCost.kibibytes`. One core is left to everything
    /// else: a lower priority alone does not keep it free (docs/performance/tried-services.md).
    public var hasherThreads = max(1, ProcessInfo.processInfo.activeProcessorCount - 1)
    /// Passwords that may wait for a thread; one more is told when to come back.
    public var hasherQueue = 64
    public var hashCost = HashCost()

    /// Registrations, log-ins and refreshes from one address. The loopback is exempt: it is an operator's, or a proxy's.
    public var addressLimit = RateLimit(60, per: .seconds(60))
    /// Wrong passwords for one account from one address.
    public var guessLimit = RateLimit(10, per: .seconds(300))
    /// Wrong passwords for one account from anywhere.
    public var accountLimit = RateLimit(100, per: .seconds(3600))
    /// Refreshes and changes by one device.
    public var deviceLimit = RateLimit(60, per: .seconds(60))

    public init() {}
}

/// What argon2id costs. The defaults are the least that OWASP's password storage cheat sheet allows.
public struct HashCost: Sendable, Equatable {
    public var kibibytes: UInt32 = 19 * 1024
    public var passes: UInt32 = 2
    public var lanes: UInt32 = 1

    public init() {}
}
