// Calls over a socket: a method by its name, a request in one of two forms, as the session's own user and device. They go the
// way of the other doors' calls, through the clients of the services; no service is known here.
import Contract
import Foundation
import GRPCCore
import ServiceKit
import SwiftProtobuf

struct SocketCalls: Sendable {
    private let calls: [String: any NamedCall]
    private let timeout: Duration

    /// - Parameter calls: those of every service, by their full names.
    init(_ calls: [String: any NamedCall], timeout: Duration = .seconds(10)) {
        // What needs no token is how one gets a token: a session has one, and its limits are those of other doors.
        self.calls = calls.filter { AccessPolicy.methods[$0.key] == .user }
        self.timeout = timeout
    }

    /// The frame that answers. Never throws: whatever goes wrong is what it says.
    func answer(_ call: Ringway_V1_Call, from caller: Caller, at peer: Peer, in format: FrameFormat) async -> [UInt8] {
        do {
            guard let named = calls[call.method] else { throw RPCError(code: .unimplemented, message: "no such method") }
            var metadata = caller.metadata
            metadata.add(contentsOf: peer.metadata)
            let said = metadata
            return try await withDeadline(timeout) { try await Self.answer(call, by: named, said, in: format) }
        } catch {
            return Self.refuse(call, RPCError(orUnknown: error), in: format)
        }
    }

    /// The frame that stands in the place of one that is too long.
    static func refuseLength(_ call: Ringway_V1_Call, in format: FrameFormat) -> [UInt8] {
        let message = "the answer is too long for a socket; ask for less at a time, or over HTTP"
        return refuse(call, RPCError(code: .resourceExhausted, message: message), in: format)
    }

    private static func refuse(_ call: Ringway_V1_Call, _ error: RPCError, in format: FrameFormat) -> [UInt8] {
        format.encode(.reply(.with { ($0.id, $0.error) = (call.id, .init(telling: error)) }))
    }

    /// In the form of the request, or in the session's own where there is none.
    private static func answer(
        _ call: Ringway_V1_Call, by named: some NamedCall, _ metadata: Metadata, in format: FrameFormat
    ) async throws -> [UInt8] {
        switch (call.body, format) {
        case (.proto(let body), _): try await proto(call.id, named, .init(proto: body), metadata, in: format)
        case (.json(let body), _): try await json(call.id, named, .init(json: body), metadata, in: format)
        case (nil, .proto): try await proto(call.id, named, .init(), metadata, in: format)
        case (nil, .json): try await json(call.id, named, .init(), metadata, in: format)
        }
    }

    private static func proto<Named: NamedCall>(
        _ id: String, _ named: Named, _ request: Named.Request, _ metadata: Metadata, in format: FrameFormat
    ) async throws -> [UInt8] {
        let answer = try await named(request, metadata, .defaults).serializedBytes() as Data
        return format.encode(.reply(.with { $0.id = id; $0.proto = answer }))
    }

    private static func json<Named: NamedCall>(
        _ id: String, _ named: Named, _ request: Named.Request, _ metadata: Metadata, in format: FrameFormat
    ) async throws -> [UInt8] {
        let answer = try await JSONAnswer.json { try await named(request, metadata, .defaults) }
        return try format.encodeReply(to: id, answer)
    }
}

// MARK: Requests from the two forms. Unknown fields are ignored.

extension Message {
    /// No more than a frame may be nested.
    private static var nestingMax: Int { 100 }

    fileprivate init(proto body: Data) throws(RPCError) {
        do {
            try self.init(serializedBytes: body)
        } catch {
            throw RPCError(code: .invalidArgument, message: "the body is not this method's request")
        }
    }

    fileprivate init(json body: Google_Protobuf_Struct) throws(RPCError) {
        guard body.holdsExactNumbers else {
            throw RPCError(code: .invalidArgument, message: "the body has a number beyond 2^53, which must be a string")
        }
        do {
            // A Struct has each name once, but a field may have two.
            try self.init(request: body.jsonUTF8Bytes(), nestingMax: Self.nestingMax)
        } catch let error as JSONRequestError {
            throw RPCError(code: .invalidArgument, message: error.message, metadata: error.field.map(Metadata.fault) ?? [:])
        } catch {
            throw RPCError(code: .invalidArgument, message: "the body is not this request as JSON")
        }
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
