// What Friendship does by itself, on every node: ends requests that nobody has answered in time. Several nodes may do so at
// once.

extension FriendshipHandler {
    private static let sweepLimit = 500

    /// All that are due now.
    public func sweep() async throws {
        try await store.sweep(limit: Self.sweepLimit)
    }
}
