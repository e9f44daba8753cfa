// What a text that users show each other may look like: names, greetings, signatures. Characters are Unicode scalars,
// which is also what Postgres counts; nothing is trimmed or normalized, so what was stored is what comes back.

public struct TextRule: Sendable {
    private let length: ClosedRange<Int>

    public init(characters length: ClosedRange<Int>) {
        self.length = length
    }

    /// What is wrong with the text, worded to follow the field's name, or nil. It never quotes the text, and the work
    /// is bounded however long that is: no scalar takes more than four bytes.
    public func violation(by text: String) -> String? {
        let scalars = text.unicodeScalars
        guard text.utf8.count <= 4 * length.upperBound, length.contains(scalars.count) else {
            return "must have \(length.lowerBound) to \(length.upperBound) characters"
        }
        if scalars.contains(where: \.isControl) { return "must not contain control characters" }
        if length.lowerBound > 0, scalars.allSatisfy(\.properties.isWhitespace) { return "must not be blank" }
        return nil
    }
}

extension Unicode.Scalar {
    /// Also the separators of lines and paragraphs, which break a line just as a control character does.
    fileprivate var isControl: Bool {
        switch properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }
}
