// Calls of a service in the same process: the policy of every other door, the answer, and what an error tells.
import Contract
import GRPCCore
import Postgres
import Synchronization
import Testing

@testable import ServiceKit

private let ada = Caller(userID: 7, deviceID: 70)

/// A settings service that answers with the caller, or throws.
private struct Settings: Ringway_V1_SettingsService.SimpleServiceProtocol {
    let answer: @Sendable (ServerContext) async throws -> Ringway_V1_Settings

    init(answer: @escaping @Sendable (ServerContext) async throws -> Ringway_V1_Settings = { _ in .version(Caller.current) }) {
        self.answer = answer
    }

    func getSettings(
        request: Ringway_V1_GetSettingsRequest, context: ServerContext
    ) async throws -> Ringway_V1_Settings { try await answer(context) }

    func updateSettings(
        request: Ringway_V1_UpdateSettingsRequest, context: ServerContext
    ) async throws -> Ringway_V1_Settings { try await answer(context) }

    func checkAudience(
        request: Ringway_V1_CheckAudienceRequest, context: ServerContext
    ) async throws -> Ringway_V1_CheckAudienceResponse { .with { $0.allowedIds = request.ownerIds } }

    var client: Ringway_V1_SettingsService.LocalClient<Settings> {
        Ringway_V1_SettingsService.LocalClient(
            self,
            behind: InProcessDoor { token in
                guard token == "good" else { throw RPCError(code: .unauthenticated, message: "not valid") }
                return ada
            })
    }
}

extension Ringway_V1_Settings {
    fileprivate static func version(_ caller: Caller?) -> Self { .with { $0.version = caller?.userID ?? 0 } }
}

private func refusal(_ call: () async throws -> Void) async -> RPCError? {
    do {
        try await call()
        return nil
    } catch {
        return error as? RPCError
    }
}

@Suite struct InProcessDoorTests {
    private let good: Metadata = ["authorization": "Bearer good", Peer.metadataKey: "10.0.0.1"]

    @Test func good_token__is_served_as_its_user_from_its_address() async throws {
        let client = Settings { _ in
            #expect(Peer.current.address == "10.0.0.1")
            return .version(Caller.current)
        }.client
        #expect(try await client.getSettings(.init(), metadata: good).version == 7)
    }

    @Test(arguments: [[:], ["authorization": "Bearer bad"], ["authorization": "good"]] as [Metadata])
    func no_good_token__is_refused(metadata: Metadata) async throws {
        let isServed = Atomic(false)
        let client = Settings { _ in
            isServed.store(true, ordering: .relaxed)
            return .init()
        }.client
        let error = await refusal { _ = try await client.getSettings(.init(), metadata: metadata) }
        #expect(error?.code == .unauthenticated)
        let wasServed = isServed.load(ordering: .relaxed)
        #expect(!wasServed)
    }

    @Test func services__need_no_token_here() async throws {
        let answer = try await Settings().client.checkAudience(.with { $0.ownerIds = [1, 2] })
        #expect(answer.allowedIds == [1, 2])
    }

    @Test func method_that_the_policy_does_not_list__is_served_to_nobody() async throws {
        let door = InProcessDoor { _ in ada }
        let method = MethodDescriptor(fullyQualifiedService: "ringway.v1.SettingsService", method: "Unlisted")
        let error = await refusal {
            _ = try await door.call(method, ClientRequest(message: 1, metadata: good)) { number, _ in
                number
            } taker: { try $0.message }
        }
        #expect(error?.code == .unimplemented)
    }

    @Test func error__tells_what_a_server_would_and_never_its_cause() async throws {
        let secret = PostgresError(.server, reason: "secret", sqlState: "XX000")
        for (thrown, code) in [
            (RPCError(code: .aborted, message: "outdated", metadata: ["field": "x"]), .aborted),
            (secret, .internalError), (CancellationError(), .unknown),
        ] as [(any Error, RPCError.Code)] {
            let client = Settings { _ in throw thrown }.client
            let error = try #require(await refusal { _ = try await client.getSettings(.init(), metadata: good) })
            #expect(error.code == code)
            #expect(error.cause == nil)
            #expect(!error.message.contains("secret"))
            if code == .aborted { #expect(error.field == "x") }
        }
    }

    @Test func json__is_for_the_call_that_wants_it_and_for_no_call_inside() async throws {
        let encoded = try EncodedMessage(Ringway_V1_Settings.with { $0.version = 5 })
        let client = Settings { try encoded.answer(in: $0) }.client
        #expect(try await client.getSettings(.init(), metadata: good).version == 5)
        let outer = Settings { _ in try await client.getSettings(.init(), metadata: ["authorization": "Bearer good"]) }
        let wanted = JSONAnswer()
        let inner = try await JSONAnswer.$wanted.withValue(wanted) {
            try await outer.client.getSettings(.init(), metadata: good)
        }
        #expect(inner.version == 5)
        #expect(wanted.json == nil)
        _ = try await JSONAnswer.$wanted.withValue(wanted) { try await client.getSettings(.init(), metadata: good) }
        #expect(wanted.json.map { String(decoding: $0, as: UTF8.self) } == #"{"version":"5"}"#)
    }
}

@Suite struct EncodedMessageTests {
    @Test func message_and_json__come_back_as_they_were() throws {
        for message in [Ringway_V1_Friend(), .with { ($0.userID, $0.remark) = (9_007_199_254_740_993, "Ådä 🐌") }] {
            let stored = try EncodedMessage<Ringway_V1_Friend>(bytes: EncodedMessage(message).bytes)
            #expect(try stored.message() == message)
            #expect(try Array(stored.json) == message.jsonAnswer())
            let behind = try EncodedMessage<Ringway_V1_Friend>(bytes: EncodedMessage(message, after: [.max, -8]).bytes, after: 2)
            #expect((0...1).map { EncodedMessage<Ringway_V1_Friend>.number($0, in: behind.bytes) } == [.max, -8])
            #expect(EncodedMessage<Ringway_V1_Friend>.number(1, in: Array(behind.bytes.prefix(15))) == nil)
            #expect(Array(behind.json) == Array(stored.json))
            #expect(try behind.message() == message)
        }
    }

    @Test(arguments: [[], [1, 0, 0], [2, 0, 0, 0, 1], [255, 255, 255, 255]] as [[UInt8]])
    func cut_bytes__are_no_message(bytes: [UInt8]) {
        #expect(throws: EncodedMessage<Ringway_V1_Friend>.Malformed.tooShort) {
            try EncodedMessage<Ringway_V1_Friend>(bytes: bytes)
        }
    }
}
