// Calls of a service that is in the same process, without a transport between: the caller holds the generated client's
// protocol either way, and a door stands before the handler as a server's interceptors would. The client of each
// service is generated (Generated/ringway_v1_local.swift).
import GRPCCore

public protocol LocalDoor: Sendable {
    /// Lets a call in and has the handler answer it, or refuses it; the taker gets the answer or the refusal.
    func call<Request: Sendable, Reply: Sendable, Result: Sendable>(
        _ method: MethodDescriptor, _ request: ClientRequest<Request>,
        handler: @Sendable (Request, ServerContext) async throws -> Reply,
        taker: @Sendable (ClientResponse<Reply>) async throws -> Result
    ) async throws -> Result
}
