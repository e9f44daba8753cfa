// A call of a client's, for a caller that learns at run time which method is wanted. What the calls of each service are is
// generated (Generated/ringway_v1_methods.swift).
import GRPCCore
import SwiftProtobuf

public protocol NamedCall<Request, Reply>: Sendable {
    associatedtype Request: Message
    associatedtype Reply: Message

    func callAsFunction(_ request: Request, _ metadata: Metadata, _ options: CallOptions) async throws -> Reply
}

struct Call<Request: Message, Reply: Message>: NamedCall {
    private let call: @Sendable (Request, Metadata, CallOptions) async throws -> Reply

    init(_ call: @escaping @Sendable (Request, Metadata, CallOptions) async throws -> Reply) {
        self.call = call
    }

    func callAsFunction(_ request: Request, _ metadata: Metadata, _ options: CallOptions) async throws -> Reply {
        try await call(request, metadata, options)
    }
}
