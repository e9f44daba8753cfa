// Every message of the contract, filled with whatever its fields can hold, is written as SwiftProtobuf writes it.
import ServiceKit
import SwiftProtobuf
import Testing

@testable import Contract

@Suite struct JSONWriterTests {
    @Test func every_message__is_written_as_the_library_writes_it() throws {
        for naming in JSONNaming.types {
            guard let type = naming.type as? any Message.Type else { continue }
            var unseen = Set(naming.texts.compactMap { $0?.description })
            for round in 0..<2000 where round < 200 || !unseen.isEmpty {
                let message = type.filled(naming.texts.count)
                let text = try compare(message)
                unseen = unseen.filter { !text.contains($0) }
            }
            #expect(unseen.isEmpty, "\(type) was never tried with \(unseen)")
        }
    }

    @Test(arguments: [0, 1, 59, 86_399, 86_400, 951_782_399, 951_782_400, 951_868_800, 1_709_164_800, 4_107_542_400,
                      -1, -86_400, -62_135_596_800, -62_135_596_801, 253_402_300_799, 253_402_300_800] as [Int64])
    func times__are_written_as_the_library_writes_them(seconds: Int64) throws {
        for nanos in [0, 1, 1000, 1_000_000, 120_000_000, 123_456_000, 999_999_999, 1_000_000_000, -1] as [Int32] {
            let since = Google_Protobuf_Timestamp(seconds: seconds, nanos: nanos)
            try compare(Ringway_V1_Block.with { $0.since = since })
        }
    }

    @Test func every_day_of_400_years__is_written_as_the_library_writes_it() throws {
        for day in Int64(-36_524)..<(146_097 - 36_524) {
            let since = Google_Protobuf_Timestamp(seconds: day * 86_400 + day.magnitude.asSeconds)
            let block = Ringway_V1_Block.with { $0.since = since }
            let (ours, theirs): ([UInt8], [UInt8]) = (try block.jsonAnswer(), try block.jsonUTF8Bytes())
            if ours != theirs { try compare(block) }
        }
    }

    /// What a dictionary has held before decides the order in which it hands out what it holds.
    @Test func map__is_written_alike_whatever_it_has_held() throws {
        let custom = Dictionary(uniqueKeysWithValues: (0..<16).map { ("key\($0)", "\($0)") })
        var roomy = custom
        roomy.reserveCapacity(4096)
        let texts = try [custom, roomy].map { map in try compare(Ringway_V1_Profile.with { $0.custom = map }) }
        #expect(texts[0] == texts[1])
    }

    /// Both say the same, or both refuse. A map is written by its keys' order.
    @discardableResult
    private func compare(_ message: some Message) throws -> String {
        var options = JSONEncodingOptions()
        options.useDeterministicOrdering = true
        let theirs: Result<[UInt8], any Error> = Result { try message.jsonUTF8Bytes(options: options) }
        guard case .success(let expected) = theirs else {
            #expect(throws: (any Error).self) { try message.jsonAnswer() }
            return ""
        }
        let text = String(decoding: try message.jsonAnswer(), as: UTF8.self)
        let bytes: [UInt8] = try message.serializedBytes()
        #expect(text == String(decoding: expected, as: UTF8.self), "\(bytes)")
        return text
    }
}

extension UInt64 {
    fileprivate var asSeconds: Int64 { Int64(self &* 7919 % 86_400) }
}

extension Message {
    /// A message out of random fields; what its type does not take is left out.
    fileprivate static func filled(_ fields: Int) -> Self {
        var message = Self()
        for _ in 0..<Int.random(in: 0...12) {
            var changed = message
            if (try? changed.merge(serializedBytes: Wire.field(of: fields, depth: 4))) != nil { message = changed }
        }
        return message
    }
}

/// Random bytes in protobuf's form.
private enum Wire {
    private static let words = [
        "", "a", "hello", "\"\\/\u{8}\t\n\u{c}\r\u{0}\u{1f}\u{7f}\u{80}\u{9f}\u{a0}", "grüße", "阿達", "👩‍👩‍👧", "\u{202e}",
        "user_id", "x\u{c2}y",
    ]

    static func field(of fields: Int, depth: Int) -> [UInt8] {
        let number = Int.random(in: 1...max(1, fields - 1))
        switch Int.random(in: 0..<4) {
        case 0: return tag(number, 0) + varint(UInt64.random(in: 0...6))
        case 1: return tag(number, 0) + varint(UInt64.random(in: 0...(.max)) >> Int.random(in: 0..<64))
        case 2: return sized(number, Array(words.randomElement()!.utf8))
        default:
            let inner = depth == 0 ? [] : (0..<Int.random(in: 0...4)).flatMap { _ in field(of: 9, depth: depth - 1) }
            return sized(number, inner)
        }
    }

    private static func tag(_ number: Int, _ form: UInt64) -> [UInt8] { varint(UInt64(number) << 3 | form) }

    private static func sized(_ number: Int, _ bytes: [UInt8]) -> [UInt8] {
        tag(number, 2) + varint(UInt64(bytes.count)) + bytes
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        var (rest, bytes) = (value, [UInt8]())
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}
