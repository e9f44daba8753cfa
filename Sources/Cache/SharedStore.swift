// What may lie behind the memory of each node: the facts of all nodes in one place (docs/decisions/0015-shared-cache.md).
// Only what the memory does not have is looked for here, so that a hit in memory waits for nobody.
//
// A store is of use only while its node hears of every change and can reach it, and drops by itself what it hears of.
// How it knows which facts it may believe is its own matter; for that it may tell all nodes a mark, which comes back to
// everyone, itself too, among the changes and in the order of the commits.

protocol SharedStore: Sendable {
    /// What is there of these keys, and the right to fill in the rest. Both are empty when the store can't be asked, or
    /// does not answer soon. What is found has in it every change that this node had heard of, made or loaded before the call.
    func look(for keys: [CacheKey]) async -> SharedAnswer

    // What follows doesn't wait, and takes effect in the order of the calls, looks included.

    /// This has been loaded. It is kept if there was a lease that nothing has ended since; in any case nothing older is
    /// found any more.
    func fill(_ entries: [CacheKey: CacheEntry], under lease: CacheLease?)
    /// Drops what is older than the version; nil: whatever is there. A lease on it ends.
    func raise(_ keys: [CacheKey], to version: Int64?)
    /// From now on every change is heard; or no more.
    func hearing(_ hears: Bool)
    /// A mark came back. False: it is none of a store's.
    func heard(_ topic: String, _ mark: Int64) -> Bool

    /// Keeps the store connected, and tells marks, until the task is cancelled. `tell` commits a mark for all nodes to
    /// hear; it is called again when it throws.
    func run(telling tell: @escaping @Sendable (_ topic: String, _ mark: Int64) async throws -> Void) async

    /// In Prometheus' text format.
    func metrics() -> String
    /// Why it is of no use now; nil: it is.
    var complaint: String? { get }
}

struct SharedAnswer: Sendable {
    var found: [CacheKey: CacheEntry] = [:]
    /// On the keys that were not found. Nil: what is loaded must not be filled in.
    var lease: CacheLease?
}

/// The right to fill in what is loaded from now on.
struct CacheLease: Hashable, Sendable {
    /// Under which facts are kept now; nothing that was kept under an earlier one is found any more.
    let generation: Int64
    /// No other lease has it.
    let token: String
}
