// Stands before every method at the network's gRPC door: a request that does not come, or an answer that is not found, ends
// the call in its time. Clients may set shorter deadlines of their own; the slow one sets none. What follows the head of
// a stream of answers takes as long as it likes.
import GRPCCore

public struct DeadlineInterceptor: ServerInterceptor {
    private let limit: Duration

    public init(limit: Duration = .seconds(10)) {
        self.limit = limit
    }

    public func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingServerRequest<Input>,
        context: ServerContext,
        next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
    ) async throws -> StreamingServerResponse<Output> {
        try await withoutActuallyEscaping(next) { next in
            try await withThrowingTaskGroup(of: StreamingServerResponse<Output>.self) { group in
                group.addTask { try await next(request, context) }
                group.addTask { [limit] in
                    try await Task.sleep(for: limit)
                    throw RPCError(code: .deadlineExceeded, message: "the call was not over within \(limit)")
                }
                defer { group.cancelAll() }
                guard let response = try await group.next() else { throw CancellationError() }
                return response
            }
        }
    }
}
