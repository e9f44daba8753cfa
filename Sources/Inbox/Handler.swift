// The log over gRPC and HTTP: the caller's own, and nobody else's. For services: a user's cursors.
import Contract
import GRPCCore
import Postgres
import ServiceKit

public struct InboxHandler: Ringway_V1_InboxService.SimpleServiceProtocol {
    private let store: InboxStore

    public init(postgres: PostgresClient) {
        store = InboxStore(postgres: postgres)
    }

    public func readInbox(
        request: Ringway_V1_ReadInboxRequest, context: ServerContext
    ) async throws -> Ringway_V1_ReadInboxResponse {
        let caller = try Caller.required()
        guard request.since >= 0 else {
            throw InboxError.invalid("since", "must not be negative")
        }
        guard (0...Int32(InboxRules.readLimitMax)).contains(request.limit) else {
            throw InboxError.invalid("limit", "must be 0 to \(InboxRules.readLimitMax)")
        }
        let limit = request.limit == 0 ? InboxRules.readLimitDefault : Int(request.limit)
        guard let head = try await store.head(of: caller.userID) else { throw InboxError.noLog }
        guard request.since <= head else { throw InboxError.aheadOfHead(head) }
        let events = try await store.read(caller.userID, since: request.since, limit: limit)
        return try Ringway_V1_ReadInboxResponse.with {
            $0.events = try events.map { try $0.decoded() }
            // An append between the two reads makes the events newer than the head that was read first.
            $0.headSeq = max(head, events.last?.seq ?? 0)
        }
    }

    /// For services: the user comes from the request, because no user calls it.
    public func listCursors(
        request: Ringway_V1_ListCursorsRequest, context: ServerContext
    ) async throws -> Ringway_V1_ListCursorsResponse {
        let cursors = try await store.cursors(of: request.userID)
        return .with { $0.cursors = cursors }
    }
}
