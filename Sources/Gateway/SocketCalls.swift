// Calls over a socket: a method by its name, a request in one of two forms, as the session's own user and device. The
// bytes go through the same interceptor and handlers as those of the other doors; no service is known here.
import Contract
import Foundation
import GRPCCore
import ServiceKit
import SwiftProtobuf

struct SocketCalls: Sendable {
    private static let timeout: Duration = .seconds(10)

    /// Sends a serialized request as somebody from somewhere, and returns the serialized answer.
    private let unary: @Sendable (Caller, Peer, MethodDescriptor, [UInt8]) async throws -> [UInt8]

    init<Transport: ClientTransport>(client: GRPCClient<Transport>) {
        var options = CallOptions.defaults
        options.timeout = Self.timeout
        let callOptions = options
        unary = { caller, peer, method, body in
            var metadata = caller.metadata
            metadata.add(contentsOf: peer.metadata)
            return try await client.unary(
                request: ClientRequest(message: body, metadata: metadata), descriptor: method,
                serializer: Bytes(), deserializer: Bytes(), options: callOptions
            ) { try $0.message }
        }
    }

    /// Never throws: whatever goes wrong is what the reply says.
    func answer(
        _ call: Ringway_V1_Call, from caller: Caller, at peer: Peer, in format: FrameFormat
    ) async -> Ringway_V1_Reply {
        var reply = Ringway_V1_Reply.with { $0.id = call.id }
        do {
            reply.result = try await result(of: call, from: caller, at: peer, in: format)
        } catch {
            reply.error = Ringway_V1_Error(telling: RPCError(orUnknown: error))
        }
        return reply
    }

    private func result(
        of call: Ringway_V1_Call, from caller: Caller, at peer: Peer, in format: FrameFormat
    ) async throws -> Ringway_V1_Reply.OneOf_Result {
        let slash = call.method.firstIndex(of: "/") ?? call.method.startIndex
        let method = MethodDescriptor(
            fullyQualifiedService: String(call.method[..<slash]),
            method: String(call.method[slash...].dropFirst()))
        // What needs no token is how one gets a token: a session has one, and its limits are those of other doors.
        guard AccessPolicy.access(to: method) == .user, let types = MethodTypes.all[call.method] else {
            throw RPCError(code: .unimplemented, message: "no such method")
        }
        switch call.body {
        case .proto(let body):
            return .proto(Data(try await unary(caller, peer, method, [UInt8](body))))
        case .json(let body):
            let request = try types.request.decoded(fromJSON: body)
            return .json(try types.response.json(of: try await unary(caller, peer, method, request)))
        case nil:
            let answer = try await unary(caller, peer, method, [])
            return format == .proto ? .proto(Data(answer)) : .json(try types.response.json(of: answer))
        }
    }
}

// MARK: Bytes as they are

private struct Bytes: MessageSerializer, MessageDeserializer {
    func serialize<Contiguous: GRPCContiguousBytes>(_ message: [UInt8]) -> Contiguous {
        Contiguous(message)
    }

    func deserialize<Contiguous: GRPCContiguousBytes>(_ serialized: Contiguous) -> [UInt8] {
        serialized.withUnsafeBytes { [UInt8]($0) }
    }
}

// MARK: Messages between JSON and bytes

extension Message {
    /// No more than a frame may be nested.
    private static var nestingMax: Int { 100 }

    /// The serialized message of this type that a JSON object says.
    fileprivate static func decoded(fromJSON body: Google_Protobuf_Struct) throws -> [UInt8] {
        guard body.holdsExactNumbers else {
            throw RPCError(code: .invalidArgument, message: "the body has a number beyond 2^53, which must be a string")
        }
        do {
            // A Struct has each name once, but a field may have two.
            return try Self(request: body.jsonUTF8Bytes(), nestingMax: nestingMax).serializedBytes()
        } catch let error as JSONRequestError {
            throw RPCError(
                code: .invalidArgument, message: error.message, metadata: error.field.map { ["field": "\($0)"] } ?? [:])
        } catch {
            throw RPCError(code: .invalidArgument, message: "the body is not this request as JSON")
        }
    }

    fileprivate static func json(of bytes: [UInt8]) throws -> Google_Protobuf_Struct {
        try Google_Protobuf_Struct(jsonUTF8Bytes: Self(serializedBytes: bytes).jsonUTF8Bytes() as [UInt8])
    }
}

// MARK: What a Struct may hold. The decoder of the frame has bounded its depth.

extension Google_Protobuf_Struct {
    /// Its numbers are doubles: from 2^53 on, one may have been another when it was written.
    fileprivate var holdsExactNumbers: Bool {
        fields.values.allSatisfy(\.holdsExactNumbers)
    }
}

extension Google_Protobuf_Value {
    fileprivate var holdsExactNumbers: Bool {
        switch kind {
        case .numberValue(let number): abs(number) < 0x1p53
        case .structValue(let fields): fields.holdsExactNumbers
        case .listValue(let list): list.values.allSatisfy(\.holdsExactNumbers)
        default: true
        }
    }
}
