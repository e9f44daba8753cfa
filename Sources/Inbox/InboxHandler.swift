// The log over gRPC and HTTP: the caller's own, and nobody else's.
import Contract
import GRPCCore
import ServiceKit

public struct InboxHandler: Ringway_V1_InboxService.SimpleServiceProtocol {
    private let reader: InboxReader

    public init(reader: InboxReader) {
        self.reader = reader
    }

    public func readInbox(
        request: Ringway_V1_ReadInboxRequest, context: ServerContext
    ) async throws -> Ringway_V1_ReadInboxResponse {
        let caller = try Caller.required()
        guard request.since >= 0 else {
            throw RPCError(code: .invalidArgument, message: "since must not be negative")
        }
        guard (0...Int32(InboxRules.readLimitMax)).contains(request.limit) else {
            throw RPCError(code: .invalidArgument, message: "limit must be 1 to \(InboxRules.readLimitMax)")
        }
        let limit = request.limit == 0 ? InboxRules.readLimitDefault : Int(request.limit)
        guard let head = try await reader.head(of: caller.userID) else {
            throw RPCError(code: .notFound, message: "the account has no log")
        }
        guard request.since <= head else {
            throw RPCError(code: .outOfRange, message: "since is ahead of the log's head, \(head)")
        }
        let events = try await reader.read(caller.userID, since: request.since, limit: limit)
        return try Ringway_V1_ReadInboxResponse.with {
            $0.events = try events.map { try $0.decoded() }
            // An append between the two reads makes the events newer than the head that was read first.
            $0.headSeq = max(head, events.last?.seq ?? 0)
        }
    }
}
