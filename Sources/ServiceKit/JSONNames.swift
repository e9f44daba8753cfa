// Whether an object of a JSON text has a name twice. RFC 8259 leaves open which of the two counts, so that two readers of
// one text may see two requests; no request of ours means anything by it. proto3's JSON gives a field two names, as the
// .proto file writes it and in lowerCamelCase: these are one. No I/O.
import Foundation

public enum JSONNames {
    /// The fields of the contract whose objects are maps: their names are what somebody wrote and have one spelling.
    static let maps: Set<String> = ["custom"]

    /// Of a text that a decoder has taken, so that it is well-formed and not deep. One pass, and a sort of each object's
    /// names: a text that is made of nothing but names costs no more than its length times a logarithm.
    public static func areUnique(in text: [UInt8]) -> Bool {
        text.withUnsafeBufferPointer { Scan(text: $0).findsNoneTwice() }
    }
}

private struct Scan {
    let text: UnsafeBufferPointer<UInt8>
    /// The names of all objects that are open, the innermost last, without their quotation marks.
    private var names: [Range<Int>] = []
    private var open: [Level] = []

    private enum Level {
        /// Where in `names` an object's own begin.
        case object(firstName: Int, isMap: Bool)
        case list
    }

    init(text: UnsafeBufferPointer<UInt8>) {
        self.text = text
    }

    consuming func findsNoneTwice() -> Bool {
        var index = text.startIndex
        var isName = false
        while index < text.endIndex {
            switch text[index] {
            case UInt8(ascii: "\""):
                let end = endOfString(from: index + 1)
                if isName { names.append(index + 1..<end) }
                (isName, index) = (false, end)
            case UInt8(ascii: "{"):
                open.append(.object(firstName: names.count, isMap: isValueOfMap()))
                isName = true
            case UInt8(ascii: "["):
                open.append(.list)
                isName = false
            case UInt8(ascii: ","):
                if case .object = open.last { isName = true } else { isName = false }
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if case .object(let first, let isMap) = open.popLast(), !closeObject(withNamesFrom: first, isMap: isMap) {
                    return false
                }
            default: break
            }
            index += 1
        }
        return true
    }

    /// The place of the quotation mark that ends a string.
    private func endOfString(from start: Int) -> Int {
        var index = start
        while index < text.endIndex, text[index] != UInt8(ascii: "\"") {
            index += text[index] == UInt8(ascii: "\\") ? 2 : 1
        }
        return min(index, text.endIndex)
    }

    /// Whether what opens here belongs to a field whose type is a map.
    private func isValueOfMap() -> Bool {
        guard case .object(let first, isMap: false) = open.last, names.count > first, let name = names.last else { return false }
        return JSONNames.maps.contains(String(decoding: spelled(name), as: UTF8.self))
    }

    private mutating func closeObject(withNamesFrom first: Int, isMap: Bool) -> Bool {
        defer { names.removeSubrange(first...) }
        guard names.count - first > 1 else { return true }
        let own = names[first...].map { isMap ? spelled($0) : Self.lowerCamelCase(spelled($0)) }
            .sorted { $0.lexicographicallyPrecedes($1) }
        return zip(own, own.dropFirst()).allSatisfy { $0 != $1 }
    }

    /// As protobuf makes a field's JSON name: without underscores, and what follows one in upper case.
    private static func lowerCamelCase(_ name: [UInt8]) -> [UInt8] {
        let underscore = UInt8(ascii: "_")
        guard name.contains(underscore) else { return name }
        var camel: [UInt8] = []
        var follows = false
        for byte in name {
            if byte == underscore {
                follows = true
                continue
            }
            let isLower = (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
            camel.append(follows && isLower ? byte - 32 : byte)
            follows = false
        }
        return camel
    }

    /// A name without its escapes, which spell one name in many ways.
    private func spelled(_ range: Range<Int>) -> [UInt8] {
        let bytes = Array(text[range])
        guard bytes.contains(UInt8(ascii: "\\")) else { return bytes }
        let quoted = Data([UInt8(ascii: "\"")] + bytes + [UInt8(ascii: "\"")])
        let text = try? JSONSerialization.jsonObject(with: quoted, options: .fragmentsAllowed) as? String
        return text.map { Array($0.utf8) } ?? bytes
    }
}
