// Frames in both subprotocols, and what is no frame.
import Contract
import Foundation
import Inbox
import ServiceKit
import SwiftProtobuf
import TestSupport
import Testing

@testable import Gateway

@Suite struct FrameCodecTests {
    private func decode(_ format: FrameFormat, _ bytes: [UInt8]) -> Ringway_V1_ClientFrame.OneOf_Frame? {
        bytes.withUnsafeBytes { format.decode($0) }
    }

    private func decode(json: String) -> Ringway_V1_ClientFrame.OneOf_Frame? {
        decode(.json, Array(json.utf8))
    }

    private func json(_ frame: Ringway_V1_ServerFrame.OneOf_Frame) -> String {
        String(decoding: FrameFormat.json.encode(frame), as: UTF8.self)
    }

    // MARK: Events

    @Test func event__spliced_by_hand_is_what_the_library_decodes() throws {
        var random = SplitMix(state: 20)
        for round in 0..<2000 {
            let event = Ringway_V1_Event.with {
                $0.message.from = Int64.random(in: 1...Int64.max, using: &random)
                $0.message.to = Int64.random(in: 1...Int64.max, using: &random)
                $0.message.body.text = String(repeating: "\u{e9}", count: Int.random(in: 1...300, using: &random))
            }
            let seq = Int64.random(in: 1...(1 << Int64.random(in: 1...62, using: &random)), using: &random)
            let microseconds = Int64.random(in: 0...4_000_000_000_000_000, using: &random)
            let whole = round % 3 == 0
            let at = Date(timeIntervalSince1970: Double(whole ? microseconds / 1_000_000 : 0))
                + (whole ? 0 : Double(microseconds) / 1_000_000)
            let entry = LogEvent(seq: seq, at: at, payload: try event.serializedBytes())

            let bytes = try #require(FrameFormat.proto.encode(entry))
            let decoded = try Ringway_V1_ServerFrame(serializedBytes: bytes).event
            #expect(decoded.seq == seq)
            #expect(decoded.at == Google_Protobuf_Timestamp(microsecondsOf: at))
            #expect(!whole || decoded.at.nanos == 0)
            #expect(decoded.message == event.message)
            #expect(try decoded == entry.decoded())
        }
    }

    @Test(arguments: [0, 1, -1, -0.000_001, 0.999_999, -62_135_596_800, 253_402_300_799])
    func event__at_an_edge_of_time_is_what_the_library_decodes(seconds: Double) throws {
        let entry = LogEvent(seq: .max, at: Date(timeIntervalSince1970: seconds), payload: [])
        for format in FrameFormat.allCases {
            let bytes = try #require(format.encode(entry))
            let frame = format == .proto
                ? try Ringway_V1_ServerFrame(serializedBytes: bytes) : try Ringway_V1_ServerFrame(jsonUTF8Bytes: bytes)
            #expect(frame.event.seq == .max)
            #expect(frame.event.at == Google_Protobuf_Timestamp(microsecondsOf: entry.at))
        }
    }

    @Test func json_event__reads_as_documented() throws {
        let payload: [UInt8] = try Ringway_V1_Event.with {
            $0.message = .with {
                $0.from = 7_203_685_477_590
                $0.to = 7_203_685_477_580
                $0.body.text = "hi"
            }
        }.serializedBytes()
        let at = Date(timeIntervalSince1970: 1_767_323_045.678)
        let bytes = try #require(FrameFormat.json.encode(LogEvent(seq: 42, at: at, payload: payload)))
        let expected = """
            {"event":{"seq":"42","at":"2026-01-02T03:04:05.678Z",\
            "message":{"from":"7203685477590","to":"7203685477580","body":{"text":"hi"}}}}
            """
        #expect(String(decoding: bytes, as: UTF8.self) == expected)
    }

    @Test func payload_that_is_no_event__is_noticed_by_json() {
        let entry = LogEvent(seq: 1, at: .now, payload: [0xff, 0xff, 0xff])
        #expect(FrameFormat.json.encode(entry) == nil)
    }

    // MARK: Frames of a client

    @Test func json_frames_of_the_document__are_read() {
        #expect(
            decode(json: #"{"hello":{"token":"eyJ...","sinceSeq":"41","client":"my-app/1.0"}}"#)
                == .hello(.with { $0.token = "eyJ..."; $0.sinceSeq = 41; $0.client = "my-app/1.0" }))
        #expect(
            decode(json: #"{"send":{"clientId":"m1","to":"7203685477580","body":{"text":"hi"}}}"#)
                == .send(.with { $0.clientID = "m1"; $0.to = 7_203_685_477_580; $0.body.text = "hi" }))
        #expect(decode(json: #"{"ack":{"seq":"45"}}"#) == .ack(.with { $0.seq = 45 }))
        #expect(decode(json: #"{"ping":{}}"#) == .ping(.init()))
    }

    @Test func json__takes_numbers_names_of_the_contract_and_fields_of_the_future() {
        #expect(decode(json: #"{"ack":{"seq":45}}"#) == .ack(.with { $0.seq = 45 }))
        #expect(decode(json: #"{"hello":{"since_seq":"3"}}"#) == .hello(.with { $0.sinceSeq = 3 }))
        #expect(decode(json: #"{"ping":{"later":[1,{"a":null}]}}"#) == .ping(.init()))
    }

    @Test func protobuf_frames__are_read() throws {
        let frame = Ringway_V1_ClientFrame.with { $0.send = .with { $0.clientID = "m1"; $0.to = 5 } }
        #expect(decode(.proto, try frame.serializedBytes()) == frame.frame)
    }

    @Test(arguments: [
        "", " ", "null", "7", "[]", "\"hello\"", "{", "{}", #"{"unknown":{}}"#, #"{"hello":7}"#,
        #"{"ack":{"seq":"x"}}"#,
        #"{"ack":{"seq":"9223372036854775808"}}"#, #"{"ack":{"seq":18446744073709551616}}"#,
        #"{"ack":{"seq":"18446744073709551616"}}"#, #"{"send":{"to":"18446744073709551616"}}"#, #"{"ack":{"seq":1.5}}"#,
        #"{"ping":{}} trailing"#, #"{"ping":{},"ack":{"seq":"1"}}"#,
    ])
    func json_that_is_no_frame__is_nil(text: String) {
        #expect(decode(json: text) == nil)
    }

    @Test(arguments: [
        [], [0xff], [0x0a], [0x0a, 0x05, 0x01], [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], [0x00], [0x0c],
        [0x1a, 0x0b, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    ] as [[UInt8]])
    func protobuf_that_is_no_frame__is_nil(bytes: [UInt8]) {
        #expect(decode(.proto, bytes) == nil)
    }

    @Test func deep_nesting__is_refused_without_exhausting_the_stack() {
        let depth = 30_000
        let arrays = #"{"later":"# + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "}"
        #expect(decode(json: arrays) == nil)
        let objects = String(repeating: #"{"a":"#, count: depth) + "1" + String(repeating: "}", count: depth)
        #expect(decode(json: objects) == nil)
        // Groups of an unknown field, which a reader has to walk through.
        let groups = [UInt8](repeating: 0x7b, count: depth) + [UInt8](repeating: 0x7c, count: depth)
        #expect(decode(.proto, groups) == nil)
    }

    @Test func random_bytes__are_decoded_or_refused_and_nothing_else() {
        var random = SplitMix(state: 4)
        for _ in 0..<20_000 {
            let count = Int.random(in: 0...40, using: &random)
            let bytes = (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) }
            for format in FrameFormat.allCases {
                guard let frame = decode(format, bytes) else { continue }
                let again = Ringway_V1_ClientFrame.with { $0.frame = frame }
                #expect((try? again.serializedBytes() as [UInt8]) != nil)
            }
        }
    }

    // MARK: Frames of the server

    @Test func json_answers__read_as_documented() {
        #expect(
            json(.sent(.with { $0.clientID = "m1"; $0.seq = 46; $0.at = .init(seconds: 1_767_323_046) }))
                == #"{"sent":{"clientId":"m1","seq":"46","at":"2026-01-02T03:04:06Z"}}"#)
        #expect(json(.gap(.with { $0.from = 1; $0.to = 40 })) == #"{"gap":{"from":"1","to":"40"}}"#)
        #expect(
            json(.reconnect(.with { $0.afterMs = 1200; $0.reason = "draining" }))
                == #"{"reconnect":{"afterMs":1200,"reason":"draining"}}"#)
        #expect(
            json(.error(.with { $0.code = "PERMISSION_DENIED"; $0.message = "..."; $0.clientID = "m1" }))
                == #"{"error":{"code":"PERMISSION_DENIED","message":"...","clientId":"m1"}}"#)
        #expect(json(.pong(.init())) == #"{"pong":{}}"#)
        #expect(json(.welcome(.with { $0.headSeq = 0 })) == #"{"welcome":{"headSeq":"0"}}"#)
    }

    /// JSONWriterTests holds the writer against the library for whatever a message may hold; here is that frames are its.
    @Test func json_frames__are_what_the_library_writes() throws {
        let told = Ringway_V1_Error.with { $0.code = "INVALID_ARGUMENT"; $0.field = "to"; $0.retryAfterMs = 5 }
        let fields = try Google_Protobuf_Struct(jsonString: #"{"a":{"b":[1,null,true,"c"]}}"#)
        let frames: [Ringway_V1_ServerFrame.OneOf_Frame] = [
            .welcome(Ringway_V1_Welcome.with { $0.sessionID = "1-2"; $0.headSeq = -1; $0.limits.frameBytesMax = 65_536 }),
            .event(Ringway_V1_Event.with { $0.seq = .max; $0.message.body.text = "\"\\/\u{1f}\u{9f}\u{e9}" }),
            .sent(Ringway_V1_Sent.with { $0.clientID = "m\n1"; $0.at = .init(seconds: 253_402_300_799, nanos: 999_999_999) }),
            .reply(Ringway_V1_Reply.with { $0.id = "c1"; $0.proto = Data([0, 255, 128]) }),
            .reply(Ringway_V1_Reply.with { $0.id = "c1"; $0.json = fields }),
            .reply(Ringway_V1_Reply.with { $0.id = "c1"; $0.error = told }),
            .gap(Ringway_V1_Gap.with { $0.from = 1; $0.to = 40 }),
            .reconnect(Ringway_V1_Reconnect.with { $0.afterMs = 1200; $0.reason = "draining" }),
            .error(told), .pong(Ringway_V1_Pong()),
        ]
        for frame in frames {
            let library = try Ringway_V1_ServerFrame.with { $0.frame = frame }.jsonString()
            #expect(json(frame) == library)
        }
    }

    @Test func subprotocols__stand_where_their_formats_do() {
        #expect(FrameFormat.subprotocols[FrameFormat.proto.rawValue] == "ringway.v1.proto")
        #expect(FrameFormat.subprotocols[FrameFormat.json.rawValue] == "ringway.v1.json")
        #expect(FrameFormat.subprotocols.count == FrameFormat.allCases.count)
    }
}
