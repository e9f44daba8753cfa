// Calls over a socket, from a call's frame to the frame that answers, before a service that only does what a test says.
import Contract
import Foundation
import GRPCCore
import ServiceKit
import SwiftProtobuf
import Testing

@testable import Gateway

private let ada = Caller(userID: 7, deviceID: 70)

private struct Settings: Ringway_V1_SettingsService.SimpleServiceProtocol {
    var get: @Sendable (Ringway_V1_GetSettingsRequest, ServerContext) async throws -> Ringway_V1_Settings

    func getSettings(request: Ringway_V1_GetSettingsRequest, context: ServerContext) async throws -> Ringway_V1_Settings {
        try await get(request, context)
    }

    func updateSettings(
        request: Ringway_V1_UpdateSettingsRequest, context: ServerContext
    ) async throws -> Ringway_V1_Settings {
        .init()
    }

    func checkAudience(
        request: Ringway_V1_CheckAudienceRequest, context: ServerContext
    ) async throws -> Ringway_V1_CheckAudienceResponse {
        .init()
    }
}

@Suite struct SocketCallsTests {
    private static let method = "ringway.v1.SettingsService/GetSettings"

    /// What a session of Ada's, at 10.0.0.1, is answered.
    private func answer(
        _ body: Ringway_V1_Call.OneOf_Body?, of method: String = Self.method, in format: FrameFormat,
        timeout: Duration = .seconds(10),
        by get: @escaping @Sendable (Ringway_V1_GetSettingsRequest, ServerContext) async throws -> Ringway_V1_Settings
    ) async -> [UInt8] {
        let door = InProcessDoor { _ in throw RPCError(code: .unauthenticated, message: "no token was given") }
        let client = Ringway_V1_SettingsService.LocalClient(Settings(get: get), behind: door)
        let calls = SocketCalls(Ringway_V1_SettingsService.calls(of: client), timeout: timeout)
        let call = Ringway_V1_Call.with { ($0.id, $0.method, $0.body) = ("c \"1\"", method, body) }
        return await calls.answer(call, from: ada, at: Peer(address: "10.0.0.1"), in: format)
    }

    private func reply(_ frame: [UInt8], in format: FrameFormat) throws -> Ringway_V1_Reply {
        let frame = format == .proto
            ? try Ringway_V1_ServerFrame(serializedBytes: frame) : try Ringway_V1_ServerFrame(jsonUTF8Bytes: frame)
        #expect(frame.reply.id == "c \"1\"")
        return frame.reply
    }

    private func code(_ frame: [UInt8]) throws -> String { try reply(frame, in: .json).error.code }

    private let version = { @Sendable (request: Ringway_V1_GetSettingsRequest, _: ServerContext) in
        Ringway_V1_Settings.with { ($0.version, $0.push.quietHours.start) = (request.sinceVersion, "2\"2:00") }
    }

    @Test(arguments: FrameFormat.allCases)
    func answer__comes_in_the_form_of_the_request_or_else_of_the_session(format: FrameFormat) async throws {
        let answer = Ringway_V1_Settings.with { ($0.version, $0.push.quietHours.start) = (9, "2\"2:00") }
        let request = Ringway_V1_GetSettingsRequest.with { $0.sinceVersion = 9 }
        let json = try Google_Protobuf_Struct(jsonUTF8Bytes: answer.jsonAnswer())

        let toProto = await self.answer(.proto(try request.serializedBytes()), in: format, by: version)
        #expect(try reply(toProto, in: format).result == .proto(try answer.serializedBytes()))

        let body = try Google_Protobuf_Struct(jsonUTF8Bytes: request.jsonAnswer())
        #expect(try reply(await self.answer(.json(body), in: format, by: version), in: format).result == .json(json))

        let toNothing = try reply(await self.answer(nil, in: format) { _, _ in answer }, in: format)
        #expect(toNothing.result == (format == .proto ? .proto(try answer.serializedBytes()) : .json(json)))
    }

    @Test func json_that_is_there_already__is_sent_as_it_is() async throws {
        let encoded = try EncodedMessage(Ringway_V1_Settings.with { $0.version = 5 })
        let frame = await answer(nil, in: .json) { try encoded.answer(in: $1) }
        #expect(String(decoding: frame, as: UTF8.self) == #"{"reply":{"id":"c \"1\"","json":{"version":"5"}}}"#)
        // Who wants the message gets the message.
        let proto = try reply(await answer(nil, in: .proto) { try encoded.answer(in: $1) }, in: .proto)
        #expect(try Ringway_V1_Settings(serializedBytes: proto.proto).version == 5)
    }

    @Test func call__is_the_sessions_own() async throws {
        let frame = await answer(nil, in: .json) { _, _ in
            #expect(Caller.current == ada)
            #expect(Peer.current.address == "10.0.0.1")
            return .init()
        }
        #expect(try reply(frame, in: .json).json == .init())
    }

    @Test(arguments: ["", "/", "GetSettings", "ringway.v1.SettingsService/CheckAudience", "no.such/Method"])
    func what_no_user_may_call__is_no_method(method: String) async throws {
        #expect(try code(await answer(nil, of: method, in: .json, by: version)) == "UNIMPLEMENTED")
    }

    @Test func bodies_that_are_no_request__are_refused() async throws {
        let twice = Google_Protobuf_Struct(fields: ["sinceVersion": "1", "since_version": "1"])
        let inexact = Google_Protobuf_Struct(fields: ["sinceVersion": 9_007_199_254_740_993])
        for body in [.proto(Data([0xff])), .json(.init(fields: ["sinceVersion": "x"])), .json(twice), .json(inexact)]
            as [Ringway_V1_Call.OneOf_Body] {
            let frame = await answer(body, in: .json) { _, _ in
                Issue.record("\(body) was served")
                return .init()
            }
            #expect(try code(frame) == "INVALID_ARGUMENT")
        }
    }

    @Test func error__is_told_with_its_details_and_never_its_cause() async throws {
        let busy = try reply(
            await answer(nil, in: .json) { _, _ in throw RateLimitExceeded(retryAfter: .milliseconds(1500)) }, in: .json)
        #expect((busy.error.code, busy.error.retryAfterMs) == ("RESOURCE_EXHAUSTED", 1500))
        let frame = await answer(nil, in: .json) { _, _ in throw RPCError(code: .internalError, message: "secret") }
        #expect(try code(frame) == "INTERNAL")
        #expect(!String(decoding: frame, as: UTF8.self).contains("secret"))
    }

    @Test func service_that_does_not_answer__is_given_up_and_cancelled() async throws {
        let (cancelled, isCancelled) = AsyncStream.makeStream(of: Void.self)
        let frame = await answer(nil, in: .json, timeout: .milliseconds(20)) { _, _ in
            try? await Task.sleep(for: .seconds(60))
            isCancelled.finish()
            return .init()
        }
        #expect(try code(frame) == "DEADLINE_EXCEEDED")
        for await _ in cancelled {}
    }
}
