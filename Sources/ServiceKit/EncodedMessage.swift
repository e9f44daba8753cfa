// Answers that are made once and given often. A cache keeps the message in both forms that callers want: serialized, and
// as the JSON of the HTTP door, which is most of the cost of an answer.
import GRPCCore
import SwiftProtobuf
import Synchronization

public struct EncodedMessage<Value: Message>: Sendable {
    public enum Malformed: Error { case tooShort }

    private static var lengthBytes: Int { 4 }

    /// Numbers that its owner keeps in front of it, eight bytes each; how long the JSON is, in four; the JSON; the serialized
    /// message.
    public let bytes: [UInt8]
    private let jsonRange: Range<Int>

    /// - Parameter head: numbers to be kept with it.
    public init(_ message: Value, after head: [Int64] = []) throws {
        let json = try message.jsonAnswer()
        let serialized: [UInt8] = try message.serializedBytes()
        let numbers = head.flatMap { number in withUnsafeBytes(of: number.littleEndian) { Array($0) } }
        let length = withUnsafeBytes(of: UInt32(json.count).littleEndian) { Array($0) }
        bytes = numbers + length + json + serialized
        let start = numbers.count + Self.lengthBytes
        jsonRange = start..<start + json.count
    }

    /// - Parameter headCount: how many numbers are in front.
    public init(bytes: [UInt8], after headCount: Int = 0) throws(Malformed) {
        let headBytes = 8 * headCount
        let start = headBytes + Self.lengthBytes
        guard bytes.count >= start else { throw .tooShort }
        let count = bytes.withUnsafeBytes {
            UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: headBytes, as: UInt32.self))
        }
        guard bytes.count - start >= Int(count) else { throw .tooShort }
        jsonRange = start..<start + Int(count)
        self.bytes = bytes
    }

    public func message() throws -> Value { try Value(serializedBytes: Array(bytes[jsonRange.upperBound...])) }

    public var json: ArraySlice<UInt8> { bytes[jsonRange] }

    /// Of those in front; nil: there are not so many bytes.
    public static func number(_ index: Int, in bytes: [UInt8]) -> Int64? {
        guard bytes.count >= 8 * (index + 1) else { return nil }
        return bytes.withUnsafeBytes {
            Int64(littleEndian: $0.loadUnaligned(fromByteOffset: 8 * index, as: Int64.self))
        }
    }

    /// What a handler returns: the message, or an empty one to a door that takes the JSON instead.
    public func answer(in context: ServerContext) throws -> Value {
        guard let wish = context.transportSpecific as? JSONAnswer else { return try message() }
        wish.give(json)
        return Value()
    }
}

/// A door that wants JSON, on a call in the same process: the handler may give its answer as JSON that is there already.
/// The message that it returns is then not the answer.
public final class JSONAnswer: ServerContext.TransportSpecific {
    /// The answer of a call as JSON, whichever of the two the handler gave.
    public static func json<Reply: Message>(_ call: () async throws -> Reply) async throws -> ArraySlice<UInt8> {
        let answer = JSONAnswer()
        let reply = try await $wanted.withValue(answer) { try await call() }
        return try answer.given.withLock(\.self) ?? reply.jsonAnswer()[...]
    }

    /// For the next call of this task.
    @TaskLocal public static var wanted: JSONAnswer?

    private let given = Mutex<ArraySlice<UInt8>?>(nil)

    public init() {}

    func give(_ json: ArraySlice<UInt8>) { given.withLock { $0 = json } }

    public var json: ArraySlice<UInt8>? { given.withLock { $0 } }
}
