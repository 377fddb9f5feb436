// Elements are made by one function, and what is said in them is always text.
function element(name, settings, ...content) {
	const made = document.createElement(name);
	for (const [key, value] of Object.entries(settings ?? {})) {
		if (key.startsWith('on'))
			made.addEventListener(key.slice(2), value);
		else if (key === 'style')
			Object.entries(value).forEach(([property, setting]) => made.style.setProperty(property, setting));
		else if (value !== null && value !== undefined && value !== false)
			made.setAttribute(key, value === true ? '' : value);
	}
	made.append(...content.flat(Infinity).filter(part => part !== null && part !== undefined && part !== false));
	return made;
}

const button = (label, onclick, settings) => element('button', { type: 'button', onclick, ...settings }, label);

// A group of buttons of which one is pressed.
function choice(label, options, chosen, choose) {
	return element('div', { class: 'choice', role: 'group', 'aria-label': label },
		options.map(([value, text]) => button(text, () => choose(value), { 'aria-pressed': String(value === chosen), 'data-value': value })));
}

// A labelled list to choose from.
function selection(label, options, chosen, choose, id) {
	return element('label', { class: 'selection' }, element('span', null, label),
		element('select', { id, onchange: event => choose(event.target.value) },
			options.map(([value, text]) => element('option', { value, selected: String(value) === String(chosen) }, text))));
}

// A cell of a table that holds a figure; an empty one holds a dash for the eye only.
function figure(text, settings, name = 'td') {
	const { class: kind = '', ...others } = settings ?? {};
	return element(name, { class: `figure ${kind}`.trim(), ...others }, text ?? element('span', { 'aria-hidden': 'true', class: 'none' }, '\u2013'));
}

const heads = (...names) => element('thead', null, element('tr', null, names.map(([text, kind]) => element('th', { scope: 'col', class: kind ?? null }, text))));

// A part of the page under its heading.
const section = (id, title, ...content) => element('section', { id, 'aria-labelledby': `${id}-title` }, element('h2', { id: `${id}-title` }, title), ...content);
