// Ending what is due: by every node, some at a time, and past what can't be ended.
import Postgres

public enum Sweep {
    /// A server that refuses so many refuses everything.
    private static let refusalsMax = 1000

    /// Until nothing is due. What the server refuses for one does not keep the others from their end, and is thrown when they
    /// have had theirs: the last refusal for all.
    ///
    /// - Parameters:
    ///   - due: some of what is due, each with its id, without those of these ids.
    ///   - end: ends one. Each is a change of its own, so several nodes may sweep at once.
    public static func run<Due>(
        due: (_ except: [Int64]) async throws -> [(id: Int64, Due)], end: (Due) async throws -> Void
    ) async throws {
        var refused: [Int64] = []
        var refusal: PostgresError?
        while refused.count < refusalsMax {
            let page = try await due(refused)
            if page.isEmpty { break }
            for (id, one) in page {
                do {
                    try await end(one)
                } catch let error as PostgresError where error.code == .server {
                    refused.append(id)
                    refusal = error
                }
            }
        }
        if let refusal { throw refusal }
    }
}
