// How much of everything a user may have. A limit refuses what comes next; it takes nothing from who is above it.

public struct FriendshipSettings: Sendable {
    public var friendsMax = 5000
    public var groupsMax = 100
    /// Pending at a time, and as many again received.
    public var requestsMax = 10_000
    public var blocksMax = 10_000
    /// How long a request waits for its answer.
    public var requestLifetime: Duration = .seconds(30 * 86_400)

    public init() {}
}
