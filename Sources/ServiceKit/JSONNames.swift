// Whether an object of a JSON text has a name twice. RFC 8259 leaves open which of the two counts, so that two readers of
// one text may see two requests; no request of ours means anything by it. No I/O.
import Foundation

public enum JSONNames {
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
    /// Where in `names` those of each open object begin; nil for a list.
    private var open: [Int?] = []

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
                open.append(names.count)
                isName = true
            case UInt8(ascii: "["):
                open.append(nil)
                isName = false
            case UInt8(ascii: ","):
                isName = open.last.flatMap { $0 } != nil
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if let first = open.popLast().flatMap({ $0 }), !closeObject(withNamesFrom: first) { return false }
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

    private mutating func closeObject(withNamesFrom first: Int) -> Bool {
        defer { names.removeSubrange(first...) }
        guard names.count - first > 1 else { return true }
        let own = names[first...].map(spelled).sorted { $0.lexicographicallyPrecedes($1) }
        return zip(own, own.dropFirst()).allSatisfy { $0 != $1 }
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
