// The door before the services of this process, for callers that hold a local client (Contract/LocalDoor.swift): the
// interceptor's policy, a handler that is called as a function, and the errors that a server would make of what it
// throws. It keeps no time: whoever waits for an answer gives up when it likes.
import Contract
import GRPCCore

public struct InProcessDoor: LocalDoor {
    private let interceptor: AuthenticationInterceptor

    public init(verify: @escaping @Sendable (_ accessToken: String) async throws -> Caller) {
        interceptor = AuthenticationInterceptor(door: .inProcess, verify: verify)
    }

    public func call<Request: Sendable, Reply: Sendable, Result: Sendable>(
        _ method: MethodDescriptor, _ request: ClientRequest<Request>,
        handler: @Sendable (Request, ServerContext) async throws -> Reply,
        taker: @Sendable (ClientResponse<Reply>) async throws -> Result
    ) async throws -> Result {
        let response: ClientResponse<Reply>
        do {
            var context = ServerContext(
                descriptor: method, remotePeer: "in-process", localPeer: "in-process", cancellation: .init())
            context.transportSpecific = JSONAnswer.wanted
            // What the handler calls in its turn is not the answer.
            let served = context
            let reply = try await JSONAnswer.$wanted.withValue(nil) {
                try await interceptor.admit(request.metadata, to: method, from: "") {
                    try await handler(request.message, served)
                }
            }
            response = ClientResponse(message: reply)
        } catch {
            response = ClientResponse(of: Reply.self, error: RPCError(told: error))
        }
        return try await taker(response)
    }
}

extension RPCError {
    /// What a client of a server is told of an error: never its cause.
    init(told error: any Error) {
        switch error {
        case let error as any RPCErrorConvertible:
            self.init(
                code: error.rpcErrorCode, message: error.rpcErrorMessage, metadata: error.rpcErrorMetadata)
        default: self.init(code: .unknown, message: "")
        }
    }

    public init(orUnknown error: any Error) {
        self = error as? RPCError ?? RPCError(code: .unknown, message: "unknown")
    }
}
