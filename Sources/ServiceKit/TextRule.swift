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
        if scalars.contains(where: \.reordersText) { return "must not contain characters that reorder text" }
        if Self.stacksMarks(scalars) { return "must not stack more than \(Self.marksMax) marks on a letter" }
        if length.lowerBound > 0, scalars.allSatisfy(\.isBlank) { return "must not be blank" }
        return nil
    }
}

extension TextRule {
    /// As many as any language's letters bear; more of them paint over the lines above and below.
    private static let marksMax = 5

    private static func stacksMarks(_ scalars: String.UnicodeScalarView) -> Bool {
        var marks = 0
        for scalar in scalars {
            if scalar.isMark {
                marks += 1
                if marks > marksMax { return true }
            } else if !scalar.properties.isDefaultIgnorableCodePoint {
                // What is not seen ends no stack: the next mark stands on the same letter.
                marks = 0
            }
        }
        return false
    }
}

extension Unicode.Scalar {
    fileprivate var isMark: Bool {
        switch properties.generalCategory {
        case .nonspacingMark, .enclosingMark: true
        default: false
        }
    }

    /// Seen by nobody: spaces, what is zero wide, Hangul's fillers, and Braille without a dot.
    fileprivate var isBlank: Bool {
        properties.isWhitespace || properties.isDefaultIgnorableCodePoint || value == 0x2800
    }

    /// Embeddings, overrides and isolates of UAX #9: with them a name can reach out of itself and turn what stands
    /// beside it. The marks that only say which way a neighbour runs (U+200E, U+200F, U+061C) are fine.
    fileprivate var reordersText: Bool {
        switch value {
        case 0x202a...0x202e, 0x2066...0x2069: true
        default: false
        }
    }

    /// Also the separators of lines and paragraphs, which break a line just as a control character does.
    fileprivate var isControl: Bool {
        switch properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }
}
